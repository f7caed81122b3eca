from pathlib import Path

import numpy as np
import pytest
from scipy.interpolate import CubicSpline

from xas_bluesky.decision.recovery import FEWEST, next_energies, recover
from xas_bluesky.errors import SpectrumError
from xas_bluesky.files import read_spectrum
from xas_bluesky.reduction import absorption, normalize
from xas_bluesky.spectra import Absorption, Array

DATA = Path(__file__).parents[1] / "data" / "measured"
CHROMATE = "quality/k2cro4_rt_001.xdi"
"""Its pre-edge peak is the steepest and sharpest part."""
OXIDE = "merging/Ni2O3_rt_01.xdi"
TABULATED = {CHROMATE: 5989.0, OXIDE: 8333.0}
NOISE = 5e-4


class Measured:
    """A real spectrum on a grid of 0.25 eV, to be measured point by point."""

    def __init__(self, name: str) -> None:
        scan = normalize(absorption(read_spectrum(DATA / name)))
        kept = np.diff(scan.energy, prepend=0) > 0.02
        self.energy = scan.e0 + np.arange(-30.0, 60.1, 0.25)
        self.mu = CubicSpline(scan.energy[kept], scan.norm[kept])(self.energy)
        self.noisy = self.mu + NOISE * np.random.default_rng(0).normal(size=len(self.mu))
        self.tabulated = TABULATED[name]

    def measure(self, energy: Array) -> Absorption:
        places = np.searchsorted(self.energy, energy)
        return Absorption(energy, self.noisy[places], np.full(len(energy), NOISE**2))

    def chosen(self, count: int, batch: int = 1) -> Array:
        """Let the recovery choose; in the order of measuring."""
        energy = np.empty(0)
        while len(energy) < count:
            wanted = batch if len(energy) >= FEWEST else 20
            energy = np.append(energy, next_energies(self.measure(energy), self.energy, self.tabulated, wanted))
        return energy


def rmse(found: Array, true: Array) -> float:
    return float(np.sqrt(np.mean((found - true) ** 2)))


@pytest.fixture(scope="module", params=[CHROMATE, OXIDE])
def sample(request: pytest.FixtureRequest) -> Measured:
    return Measured(request.param)


@pytest.mark.parametrize("batch", [1, 4])
def test_recovers_a_spectrum_from_few_points(sample: Measured, batch: int) -> None:
    found = recover(sample.measure(sample.chosen(44, batch)), sample.energy)
    assert rmse(found.mu, sample.mu) < 0.005
    assert found.edge == pytest.approx(sample.energy[np.gradient(sample.mu).argmax()], abs=0.3)


def test_chosen_points_tell_more_than_even_ones(sample: Measured) -> None:
    evenly = sample.energy[np.round(np.linspace(0, 360, 30)).astype(int)]
    chosen, even = (recover(sample.measure(energy), sample.energy).mu for energy in (sample.chosen(30), evenly))
    assert rmse(chosen, sample.mu) < 0.8 * rmse(even, sample.mu)


def test_expected_error_is_honest(sample: Measured) -> None:
    energy = sample.chosen(40)
    ratios = []
    for count in range(10, 41):
        found = recover(sample.measure(energy[:count]), sample.energy)
        ratios.append(found.expected_rmse / rmse(found.mu, sample.mu))
    assert 0.5 < np.median(ratios) < 2
    assert np.mean((np.array(ratios) > 0.5) & (np.array(ratios) < 2)) > 0.6


def test_a_sharp_line_draws_points() -> None:
    sample = Measured(CHROMATE)
    energy = sample.chosen(35)
    peak = sample.energy[sample.energy < sample.energy[120] + 5][sample.mu[sample.energy < sample.energy[120] + 5].argmax()]
    near = np.abs(energy - peak) < 3
    assert near.sum() > 35 * (6 / 90) * 2


def test_order_repeats_and_unusable_points_do_not_matter() -> None:
    sample = Measured(OXIDE)
    points = sample.measure(np.sort(sample.chosen(20)))
    expected = recover(points, sample.energy)
    order = np.random.default_rng(1).permutation(len(points))
    twice = np.append(order, order)
    repeated = Absorption(points.energy[twice], points.mu[twice], 2 * np.full(len(twice), 1e-3) ** 2)
    assert recover(repeated, sample.energy).mu == pytest.approx(expected.mu, abs=1e-6)
    spoiled = Absorption(np.append(points.energy, 8350.0), np.append(points.mu, 1e6), np.append(points.variance, np.inf))
    assert recover(spoiled, sample.energy).mu == pytest.approx(expected.mu, abs=1e-9)


def test_does_not_depend_on_where_the_edge_is_tabulated_or_lies() -> None:
    sample = Measured(OXIDE)
    points = sample.measure(sample.chosen(20))
    chosen = next_energies(points, sample.energy, 8333.0, 4)
    assert next_energies(points, sample.energy, 8300.0, 4) == pytest.approx(chosen)
    moved = Absorption(points.energy + 1024, points.mu, points.variance)
    assert next_energies(moved, sample.energy + 1024, 9357.0, 4) == pytest.approx(chosen + 1024)


def test_noise_makes_the_spectrum_less_sure() -> None:
    sample = Measured(OXIDE)
    energy = sample.chosen(30)
    points = sample.measure(energy)
    noisy = Absorption(energy, points.mu + 0.02 * np.random.default_rng(2).normal(size=30), np.full(30, 0.02**2))
    assert recover(noisy, sample.energy).expected_rmse > 2 * recover(points, sample.energy).expected_rmse


def test_candidates_are_new_allowed_and_increasing() -> None:
    sample = Measured(OXIDE)
    energy = sample.chosen(20)
    allowed = np.delete(sample.energy, np.arange(100, 140))[::-1]
    chosen = next_energies(sample.measure(energy), allowed, 8333.0, 5)
    assert len(chosen) == 5
    assert np.all(np.diff(chosen) > 0)
    assert np.isin(chosen, allowed).all()
    assert not np.isin(chosen, energy).any()
    assert len(next_energies(sample.measure(energy), np.sort(energy), 8333.0, 5)) == 0


def test_starts_about_the_tabulated_edge() -> None:
    sample = Measured(OXIDE)
    first = next_energies(sample.measure(np.empty(0)), sample.energy, 8333.0, 20)
    assert FEWEST <= len(first) <= 10
    assert first[0] == sample.energy[0]
    assert first[-1] == sample.energy[-1]
    assert np.abs(first - 8333.0).min() < 0.25
    rest = next_energies(sample.measure(first[:3]), sample.energy, 8333.0, 20)
    assert np.concatenate([first[:3], rest]) == pytest.approx(first)
    few = next_energies(sample.measure(np.empty(0)), sample.energy, 8333.0, 2)
    assert few == pytest.approx(sample.energy[[0, -1]])
    assert len(next_energies(sample.measure(few), sample.energy, 8333.0, 2)) == 2


def test_too_few_energies_are_refused() -> None:
    sample = Measured(OXIDE)
    points = sample.measure(np.repeat(sample.energy[[0, 120, 200, 300, 360]], 2))
    with pytest.raises(SpectrumError, match="5 measured energies are too few"):
        recover(points, sample.energy)


@pytest.mark.parametrize("mu", [np.zeros(10), np.linspace(0, 1, 10), np.array([0.0, 5, 0, 5, 0, 5, 0, 5, 0, 5])])
def test_stands_what_is_no_spectrum(mu: Array) -> None:
    points = Absorption(np.linspace(8300.0, 8390.0, 10), mu, np.full(10, 1e-6))
    grid = np.linspace(8300.0, 8390.0, 91)
    found = recover(points, grid)
    assert np.isfinite(found.mu).all()
    assert np.isfinite(found.std).all()
    assert len(next_energies(points, grid, 8333.0, 4)) == 4
