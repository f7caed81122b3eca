"""Choose the sample on which the next minute is spent."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from xas_bluesky.errors import SettingsError

ROUNDS = 4
"""A sample is overdue once every other could have had this many turns: at most 1/ROUNDS of the time goes to such turns."""


@dataclass(frozen=True, slots=True)
class Prospect:
    """Say what a sample promises.

    `gain`: nats expected of its next request, 0 where nothing is known of it; `seconds`: that request, travel to the
    sample included; `priority`: the operator's weight, 0 for "only when all others are done"; `waited`: seconds since
    it was last measured, or since the beginning; `points` measured so far; `done`: it is never chosen again. To repeat
    points for their statistics is a gain as any other. Raises SettingsError for a value out of range.
    """

    name: str
    gain: float
    seconds: float
    priority: float = 1.0
    waited: float = 0.0
    points: int = 0
    done: bool = False

    def __post_init__(self) -> None:
        if not math.isfinite(self.gain):
            raise SettingsError(f"sample {self.name!r}: gain {self.gain!r} must be finite; give 0 where it is not known")
        if not (math.isfinite(self.seconds) and self.seconds > 0):
            raise SettingsError(f"sample {self.name!r}: seconds {self.seconds!r} must be finite and positive")
        if not all(math.isfinite(value) and value >= 0 for value in (self.priority, self.waited)):
            raise SettingsError(
                f"sample {self.name!r}: priority {self.priority!r} and waited {self.waited!r} must be finite and not negative"
            )


@dataclass(frozen=True, slots=True)
class Choice:
    """Name the sample to measure next, an index into the prospects, and why."""

    index: int
    reason: str


def choose_sample(prospects: Sequence[Prospect]) -> Choice | None:
    """Choose the sample of the highest priority × gain per second, or one that is overdue; None when all are done.

    A sample is overdue when it has waited longer than `patience`; of several, that which exceeds it by the largest
    factor comes first. With unchanging seconds it then starts before one more turn of everyone has passed, so no sample
    is left alone for longer than its patience, one turn of all, and the longest request. Of two samples that differ in
    priority alone the higher is measured before each turn of the lower. Samples of priority 0 wait, without a bound,
    until the others are done. Equal cases go to the one that has waited longest, then to priority, then to the fewest
    points, then to the first: the choice is the same for the same prospects.
    """
    waiting = [index for index, prospect in enumerate(prospects) if not prospect.done]
    eligible = [index for index in waiting if prospects[index].priority > 0] or waiting
    if not eligible:
        return None
    bounds = dict(zip(eligible, patience([prospects[index] for index in eligible]), strict=True))

    def overdue(index: int) -> float:
        return prospects[index].waited / bounds[index]

    def value(index: int) -> float:
        prospect = prospects[index]
        return max(prospect.gain, 0.0) * (prospect.priority or 1.0) / prospect.seconds

    def order(index: int) -> tuple[float, ...]:
        return prospects[index].priority, -prospects[index].points, -index

    longest = max(eligible, key=lambda index: (overdue(index), value(index), *order(index)))
    if overdue(longest) > 1:
        chosen = prospects[longest]
        return Choice(longest, f"{chosen.name} has waited {chosen.waited:.0f} s, more than {bounds[longest]:.0f} s")
    best = max(eligible, key=lambda index: (value(index), overdue(index), *order(index)))
    chosen = prospects[best]
    rate = max(chosen.gain, 0.0) / chosen.seconds
    return Choice(best, f"{chosen.name} promises most: {rate:.3g} nats/s at priority {chosen.priority:g}")


def patience(prospects: Sequence[Prospect]) -> list[float]:
    """Return how long (s) each may wait while others promise more.

    For the highest priority it is ROUNDS turns of all; for others longer, in proportion to their lower priority.
    """
    turn = sum(prospect.seconds for prospect in prospects)
    highest = max((prospect.priority for prospect in prospects), default=0.0)
    return [ROUNDS * turn * (highest / prospect.priority if prospect.priority else 1.0) for prospect in prospects]
