"""When to stop: sure of a group, sure of none, or out of budget."""

from dataclasses import dataclass

from xas_bluesky.comparison import Identification
from xas_bluesky.errors import SettingsError

SURE = 0.95


@dataclass(frozen=True, slots=True)
class Budget:
    """Limit a run: at most so many points, seconds (motion and settling included), photons on the sample, and dose.

    `dose`: photons on one spot. Raises SettingsError for a limit that is not positive.
    """

    points: int = 120
    seconds: float = float("inf")
    photons: float = float("inf")
    dose: float = float("inf")

    def __post_init__(self) -> None:
        if not all(limit > 0 for limit in (self.points, self.seconds, self.photons, self.dose)):
            raise SettingsError(f"budget {self}: every limit must be positive")


@dataclass(frozen=True, slots=True)
class Spent:
    """Say what a run has used so far.

    `dose`: photons on the present spot, all exposure counted: rejected points and earlier runs on it too. What nobody
    counts is NaN, and reaches no limit.
    """

    points: int
    seconds: float
    photons: float
    dose: float = float("nan")


def stop_reason(answer: Identification, spent: Spent, budget: Budget) -> str | None:
    """Return why to stop, as a sentence, or None to go on."""
    best = answer.groups[0]
    if best.probability >= SURE:
        return f"sure: {best.probability:.3f} on {', '.join(best.members)}"
    over = over_budget(spent, budget)
    return f"none of these: {answer.none_of_these:.3f}; {over}" if over and surely_none(answer) else over


def surely_none(answer: Identification) -> bool:
    """Say whether it is sure that none of the candidates fits; the run goes on until the spectrum is known."""
    return answer.none_of_these >= SURE


def over_budget(spent: Spent, budget: Budget) -> str | None:
    """Return which limit is reached, as a sentence, or None."""
    for kind, unit in (("points", "points"), ("seconds", "seconds"), ("photons", "photons"), ("dose", "photons on this spot")):
        used, limit = getattr(spent, kind), getattr(budget, kind)
        if used >= limit:
            return f"budget: {used:.6g} of {limit:.6g} {unit} are spent"
    return None
