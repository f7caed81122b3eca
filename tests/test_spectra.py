from dataclasses import replace

import numpy as np
import pytest

from xas_bluesky.spectra import PredictedSpectra

NAMES = ("a", "b", "c", "d")


def spectra(names: tuple[str, ...], seed: int, rank: int) -> PredictedSpectra:
    random = np.random.default_rng(seed)
    count, points = len(names), 5
    return PredictedSpectra(
        edge="S K",
        candidate=names,
        energy=2470.0 + np.arange(points),
        mean=random.random((count, points)),
        std=random.random((count, points)),
        factors=random.random((count, rank, points)),
        ionization=random.random(count),
        supported=random.random(count) > 0.5,
        distance=random.random(count),
        model=f"model {seed}",
    )


def covariance(of: PredictedSpectra, row: int) -> np.ndarray:
    return of.factors[row].T @ of.factors[row]


@pytest.mark.parametrize("rank", [1, 3, 6])
def test_rows_take_the_place_of_the_same_candidates(rank: int):
    mine, theirs = spectra(NAMES, 1, 3), spectra(("d", "b"), 2, rank)
    found = mine.with_rows(theirs)
    assert found.candidate == NAMES
    for row, name in enumerate(NAMES):
        whose, place = (theirs, theirs.candidate.index(name)) if name in theirs.candidate else (mine, row)
        for part in ("mean", "std", "ionization", "supported"):
            assert np.array_equal(getattr(found, part)[row], getattr(whose, part)[place]), (name, part)
        assert np.allclose(covariance(found, row), covariance(whose, place))
    assert np.array_equal(found.distance, mine.distance)
    assert found.model == mine.model


def test_sources_say_whose_a_spectrum_is_and_rows_can_go_back():
    mine, theirs = spectra(NAMES, 1, 3), spectra(("d", "b"), 2, 2)
    computed = replace(theirs, source=("theory", "theory"))
    found = mine.with_rows(computed)
    assert found.source == ("model", "theory", "model", "theory")
    assert mine.source == ()
    before = found.with_rows(mine.chosen(("d",)))
    assert before.source == ("model", "theory", "model", "model")
    assert np.array_equal(before.mean[3], mine.mean[3])


def test_chosen_are_in_the_order_asked_for():
    mine = spectra(NAMES, 1, 3)
    found = mine.chosen(("c", "a"))
    assert found.candidate == ("c", "a")
    for part in ("mean", "std", "factors", "ionization", "supported", "distance"):
        assert np.array_equal(getattr(found, part), getattr(mine, part)[[2, 0]]), part
    assert mine.with_rows(found).chosen(NAMES).source == ("model",) * 4
