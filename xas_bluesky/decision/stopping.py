"""When to stop: sure of a group, sure of none, or out of budget."""

from dataclasses import dataclass

from xas_bluesky.comparison import Identification
from xas_bluesky.errors import SettingsError

SURE = 0.95


@dataclass(frozen=True, slots=True)
class Budget:
    """Limit a run: at most so many points, seconds (motion and settling included), and photons on the sample."""

    points: int = 120
    seconds: float = float("inf")
    photons: float = float("inf")

    def __post_init__(self) -> None:
        if min(self.points, self.seconds, self.photons) <= 0:
            raise SettingsError(f"budget {self}: every limit must be positive")


@dataclass(frozen=True, slots=True)
class Spent:
    """Say what a run has used so far."""

    points: int
    seconds: float
    photons: float


def stop_reason(answer: Identification, spent: Spent, budget: Budget) -> str | None:
    """Return why to stop, as a sentence, or None to go on."""
    best = answer.groups[0]
    if best.probability >= SURE:
        return f"sure: {best.probability:.3f} on {', '.join(best.members)}"
    if answer.none_of_these >= SURE:
        return f"none of these: {answer.none_of_these:.3f}"
    return over_budget(spent, budget)


def over_budget(spent: Spent, budget: Budget) -> str | None:
    """Return which limit is reached, as a sentence, or None."""
    for kind in ("points", "seconds", "photons"):
        used, limit = getattr(spent, kind), getattr(budget, kind)
        if used >= limit:
            return f"budget: {used:.6g} of {limit:.6g} {kind} are spent"
    return None
