from dataclasses import replace

import numpy as np
import pytest

from xas_bluesky.comparison import Gap
from xas_bluesky.training import theory_gap
from xas_bluesky.training.theory_gap import NOTHING, learn, log_evidence
from xas_bluesky.training.theory_pairs import SiteSticks, TheoryPairs

COUNT = 60


@pytest.fixture
def pairs() -> TheoryPairs:
    """Made-up theories: a line at -6 eV whose strength differs by 30 % and place by 0.1 eV, one at -2 eV that is the same."""
    chance = np.random.default_rng(3)
    count = np.full(COUNT, 2)
    energy, strength = np.tile([-6.0, -2.0], COUNT), np.tile([0.003, 0.003], COUNT)
    first = np.tile([1.0, 0.0], COUNT)
    moved = energy + first * chance.normal(0, 0.1, 2 * COUNT)
    changed = strength * (1 + first * chance.normal(0, 0.3, 2 * COUNT))
    none = np.full(COUNT, "", dtype=np.str_)
    computed, published = SiteSticks(energy, strength, count), SiteSticks(moved, changed, count)
    return TheoryPairs(none, none, none, np.zeros(COUNT), computed, published)


@pytest.fixture
def few_rounds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(theory_gap, "ROUNDS", 8)


def spread(gap: Gap, pairs: TheoryPairs) -> np.ndarray:
    mean = pairs.computed.spectra(theory_gap.FINE)[0]
    return np.sqrt((gap.features(theory_gap.FINE, mean, 0.0) ** 2).sum(axis=0)) / mean


@pytest.mark.usefixtures("few_rounds")
def test_errors_are_learned_where_they_are(pairs):
    gap = learn(pairs.select(np.arange(COUNT) < 40), 24)
    found = spread(gap, pairs)
    assert found[np.argmin(np.abs(theory_gap.FINE + 6.0))] == pytest.approx(0.3, abs=0.08)
    assert found[np.argmin(np.abs(theory_gap.FINE + 2.0))] < 0.15
    held_out = pairs.select(np.arange(COUNT) >= 40)
    hand_set = Gap(widths=(0.0,), reabsorptions=(0.0,), shift_sd=0.1)
    assert log_evidence(held_out, gap).mean() > log_evidence(held_out, hand_set).mean() + 5


def test_the_evidence_is_that_of_a_gaussian(pairs):
    gap = replace(NOTHING, shift_sd=0.02, fine_sd=0.2)
    apart = (pairs.published.spectra(theory_gap.FINE) - pairs.computed.spectra(theory_gap.FINE))[:, theory_gap.CELLS]
    variance = 0.2**2 + theory_gap.FLOOR**2
    expected = -0.5 * (apart**2 / variance + np.log(2 * np.pi * variance)).sum(axis=1)
    assert log_evidence(pairs, gap) == pytest.approx(expected, rel=1e-6)


def test_no_direction_is_kept_beyond_those_asked_for(pairs, monkeypatch):
    monkeypatch.setattr(theory_gap, "ROUNDS", 1)
    gap = learn(pairs, 5)
    assert np.array(gap.learned).shape == (5, 2 * theory_gap.PLACES)
