import pytest

from xas_bluesky.comparison import Group, Identification, Ranked
from xas_bluesky.decision import Budget, Spent
from xas_bluesky.decision.stopping import stop_reason
from xas_bluesky.errors import SettingsError


def answer(best, none):
    ranking = (Ranked("a", best, 0, 0.0), Ranked("b", 1 - best - none, 0, 0.0))
    return Identification(ranking, (Group(("a", "b"), best), Group(("c",), 1 - best - none)), none)


@pytest.mark.parametrize(
    ("best", "none", "spent", "reason"),
    [
        (0.96, 0.01, Spent(13, 20.0, 1e9), "sure: 0.960 on a, b"),
        (0.02, 0.97, Spent(13, 20.0, 1e9), None),
        (0.02, 0.97, Spent(100, 20.0, 1e9), "none of these: 0.970; budget: 100 of 100 points are spent"),
        (0.50, 0.10, Spent(100, 20.0, 1e9), "budget: 100 of 100 points are spent"),
        (0.50, 0.10, Spent(13, 60.5, 1e9), "budget: 60.5 of 60 seconds are spent"),
        (0.50, 0.10, Spent(13, 20.0, 2e10), "budget: 2e+10 of 1e+10 photons are spent"),
        (0.50, 0.10, Spent(13, 20.0, 1e9, 3e9), "budget: 3e+09 of 3e+09 photons on this spot are spent"),
        (0.50, 0.10, Spent(13, 20.0, 9e9, 2e9), None),
        (0.99, 0.00, Spent(100, 99.0, 1e11), "sure: 0.990 on a, b"),
        (0.94, 0.05, Spent(99, 59.0, 9e9), None),
    ],
)
def test_the_reason_to_stop(best, none, spent, reason):
    assert stop_reason(answer(best, none), spent, Budget(points=100, seconds=60.0, photons=1e10, dose=3e9)) == reason


def test_photons_that_nobody_counts_do_not_stop_a_run():
    assert stop_reason(answer(0.5, 0.1), Spent(13, 20.0, float("nan")), Budget(photons=1.0, dose=1.0)) is None


@pytest.mark.parametrize("limit", [{"points": 0}, {"seconds": -1.0}, {"photons": 0.0}, {"dose": float("nan")}])
def test_a_budget_of_nothing_is_refused(limit):
    with pytest.raises(SettingsError, match="every limit must be positive"):
        Budget(**limit)
