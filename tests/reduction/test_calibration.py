from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from larch import Group
from larch.xafs import energy_align

from xas_bluesky.edges import find_edge
from xas_bluesky.errors import EdgeError, SpectrumError
from xas_bluesky.files import read_spectrum
from xas_bluesky.reduction import absorption, find_e0, find_shift
from xas_bluesky.reduction.calibration import align
from xas_bluesky.spectra import Absorption, Array

REPEATS = Path(__file__).parents[1] / "data" / "measured" / "merging"
COPPER = find_edge("Cu K").energy
few = settings(max_examples=15, deadline=None)


def nickel_foil(number: int) -> Absorption:
    return absorption(read_spectrum(REPEATS / f"Ni2O3_rt_0{number}.xdi"), "reference")


def foil(energy: Array, at: float = COPPER + 1.0) -> Array:
    """Made to look like copper: an edge, steepest at `at`, a shoulder and a white line."""
    x = energy - at
    return 0.4 + np.arctan(x / 0.8) / np.pi + 0.25 * np.exp(-(((x - 8) / 4) ** 2)) + 0.3 * np.exp(-(((x - 17) / 4) ** 2))


def scan(energy: Array, noise: float = 1e-3, seed: int = 0, at: float = COPPER + 1.0) -> Absorption:
    mu = foil(energy, at) + np.random.default_rng(seed).normal(0, noise, len(energy))
    return Absorption(energy, mu, np.full(len(energy), noise**2))


def steps(fine: float, offset: float = 0.0) -> Array:
    parts = [np.arange(8880, 8960, 5.0), np.arange(8960, 9020, fine), np.arange(9020, 9200, 2.0)]
    return np.concatenate(parts) + offset


def shifted(source: Absorption, by: float) -> Absorption:
    return Absorption(source.energy + by, source.mu, source.variance)


@pytest.mark.parametrize("number", [1, 2, 3])
def test_the_first_inflection_of_a_measured_nickel_foil_is_taken(number: int) -> None:
    reference = nickel_foil(number)
    found = find_shift(reference, "Ni K")
    assert find_e0(reference.energy, reference.mu) > 8344
    assert 8333.5 < found.e0 < 8334.5
    assert found.e0 + found.shift == find_edge("Ni K").energy


@few
@given(st.floats(0.1, 0.8), st.floats(0, 1))
def test_e0_is_found_between_the_points(fine: float, phase: float) -> None:
    found = find_shift(scan(steps(fine, phase * fine)), "Cu K")
    assert found.e0 == pytest.approx(COPPER + 1.0, abs=0.1)
    assert found.shift == pytest.approx(-1.0, abs=0.1)


@few
@given(st.floats(-10, 10), st.floats(0.01, 100), st.floats(-5, 5))
def test_e0_follows_the_energies_and_not_the_scale(by: float, scale: float, offset: float) -> None:
    source = nickel_foil(1)
    other = Absorption(source.energy + by, scale * source.mu + offset, scale**2 * source.variance)
    assert find_shift(other, "Ni K").shift == pytest.approx(find_shift(source, "Ni K").shift - by, abs=0.02)


def test_order_repeats_and_points_without_weight_do_not_matter() -> None:
    source = scan(steps(0.3))
    order = np.random.default_rng(1).permutation(np.repeat(np.arange(len(source)), 2))
    variance = np.append(source.variance[order], np.inf)
    other = Absorption(np.append(source.energy[order], COPPER - 8), np.append(source.mu[order], 99.0), variance)
    assert find_shift(other, "Cu K").e0 == pytest.approx(find_shift(source, "Cu K").e0, abs=1e-6)


def test_what_is_no_foil_of_this_edge_is_refused() -> None:
    whole = scan(steps(0.3))
    with pytest.raises(SpectrumError, match=r"reference foil Ni K: mu is steepest at 8980\.\d eV, far from .* name the foil"):
        find_shift(whole, "Ni K")
    below = whole.energy < COPPER - 2
    part = Absorption(whole.energy[below], whole.mu[below], whole.variance[below])
    with pytest.raises(SpectrumError, match=r"reference foil Cu K: no .*edge in the scan"):
        find_shift(part, "Cu K")
    with pytest.raises(SpectrumError, match="reference foil Cu K: "):
        find_shift(scan(steps(0.3), noise=3.0), "Cu K")
    noisy = Absorption(whole.energy, whole.mu, np.full(len(whole), 1.0))
    with pytest.raises(SpectrumError, match="lost in noise"):
        find_shift(noisy, "Cu K")
    with pytest.raises(SpectrumError, match="0 usable points"):
        find_shift(Absorption(whole.energy, whole.mu, np.full(len(whole), np.inf)), "Cu K")
    with pytest.raises(EdgeError, match="no such edge"):
        find_shift(whole, "Xx K")


@few
@given(st.floats(-1, 1))
def test_a_shift_added_to_a_measured_repeat_is_found(by: float) -> None:
    first, second = nickel_foil(1), nickel_foil(2)
    drift = align(second, first)
    found = align(shifted(second, by), first)
    assert drift is not None
    assert found == pytest.approx(drift - by, abs=0.005)


def test_the_drift_is_the_same_by_foil_and_by_sample() -> None:
    for number in (2, 3):
        by_foil = align(nickel_foil(number), nickel_foil(1))
        by_sample = align(*(absorption(read_spectrum(REPEATS / f"Ni2O3_rt_0{n}.xdi")) for n in (number, 1)))
        assert by_foil is not None
        assert by_foil > 0.2
        assert by_foil == pytest.approx(by_sample, abs=0.02)


def test_uneven_steps_do_not_draw_the_shift_to_zero() -> None:
    energy = np.concatenate(
        [np.arange(8880, 8960, 5.0), 8960 + np.cumsum(np.tile([0.3, 0.9], 50)), np.arange(9022, 9200, 2.0)]
    )
    for seed in range(5):
        found = align(scan(energy, seed=seed, at=COPPER + 0.83), scan(energy, seed=seed + 10))
        assert found == pytest.approx(0.17, abs=0.03)


def test_a_shift_as_xraylarch() -> None:
    energy = steps(0.5)
    first, second = scan(energy, 1e-4, seed=1), scan(energy, 1e-4, seed=2, at=COPPER + 0.77)
    groups = [Group(energy=np.array(each.energy), mu=np.array(each.mu), e0=COPPER) for each in (first, second)]
    for group in groups:
        group.dmude = np.gradient(group.mu) / np.gradient(group.energy)
    # xraylarch takes emin below e0 as a positive number
    assert align(second, first) == pytest.approx(energy_align(groups[1], groups[0], emin=15), abs=0.01)
    assert align(second, first) == pytest.approx(0.23, abs=0.005)


def test_what_shares_no_structure_has_no_shift() -> None:
    energy = steps(0.3)
    whole, straight = scan(energy), Absorption(energy, 1 + 1e-3 * (energy - 9000), np.full(len(energy), 1e-6))
    noise = [Absorption(energy, np.random.default_rng(i).normal(0, 1, len(energy)), np.ones(len(energy))) for i in (1, 2)]
    assert align(straight, whole) is None
    assert align(whole, straight) is None
    assert align(noise[0], noise[1]) is None
    assert align(shifted(whole, 500.0), whole) is None
    assert align(Absorption(energy, -whole.mu, whole.variance), whole) is None
