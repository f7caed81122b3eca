import functools
import random
from importlib.resources import as_file, files
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from xas_bluesky.edges import find_edge
from xas_bluesky.files import read_spectrum
from xas_bluesky.reduction import absorption
from xas_bluesky.reduction.glitches import find_glitches
from xas_bluesky.spectra import Absorption

QUALITY = Path(__file__).parents[1] / "data" / "measured" / "quality"
MOLECULES = ["cysteine", "dodecanethiol", "diphenyl_sulfoxide", "methionine_sulfone"]
EDGES = {"pyrrhotite_rt_01": "S K", "k2cro4_rt_001": "Cr K", "Hansel2001_Fe_foil_xanes_001": "Fe K"}
CLEAN = [*MOLECULES, "k2cro4_rt_001", "Hansel2001_Fe_foil_xanes_001"]


@functools.cache
def measured(name: str) -> tuple[Absorption, float]:
    """Read a spectrum and the energy of its edge; counting noise is left to the scatter, as gains are unknown."""
    if name in MOLECULES:
        with as_file(files("xas_bluesky") / "data" / "measured" / f"{name}.csv") as path:
            spectrum = read_spectrum(path)
    else:
        spectrum = read_spectrum(QUALITY / f"{name}.xdi")
    return scan(spectrum.energy, absorption(spectrum).mu), find_edge(EDGES.get(name, "S K")).energy


def scan(energy: np.ndarray, mu: np.ndarray) -> Absorption:
    return Absorption(energy, mu, np.zeros(len(energy)))


def step(source: Absorption) -> float:
    return float(np.quantile(source.mu, 0.9) - np.quantile(source.mu, 0.1))


def spiked(source: Absorption, at: int, width: int, height: float) -> Absorption:
    mu = source.mu.copy()
    mu[at : at + width] += height * step(source)
    return scan(source.energy, mu)


def test_the_glitch_of_a_real_mono_is_found() -> None:
    source, edge = measured("pyrrhotite_rt_01")
    np.testing.assert_allclose(source.energy[find_glitches(source, edge)], [2477.2], atol=0.01)
    np.testing.assert_array_equal(find_glitches(source), find_glitches(source, edge))  # fine steps need no edge


@pytest.mark.parametrize("name", CLEAN)
@pytest.mark.parametrize("every", [1, 2, 3, 5])
def test_sharp_lines_are_no_glitches(name: str, every: int) -> None:
    source, edge = measured(name)
    thinned = scan(source.energy[::every], source.mu[::every])
    assert not find_glitches(thinned, edge).any()
    assert not find_glitches(thinned).any()


@pytest.mark.parametrize("name", ["methionine_sulfone", "k2cro4_rt_001"])
def test_scattered_and_partial_scans_hold_none(name: str) -> None:
    source, edge = measured(name)
    rng = np.random.default_rng(0)
    for share in (0.03, 0.1, 0.3, 0.6):
        some = rng.random(len(source)) < share
        assert not find_glitches(scan(source.energy[some], source.mu[some]), edge).any()
    for stop in range(0, len(source), 7):
        assert not find_glitches(scan(source.energy[:stop], source.mu[:stop]), edge).any()


@pytest.mark.parametrize(("width", "least"), [(1, 0.9), (2, 0.8), (3, 0.6)])
@pytest.mark.parametrize("height", [-0.2, 0.1, 0.5])
def test_glitches_put_into_a_real_scan_are_found(width: int, least: float, height: float) -> None:
    source, edge = measured("k2cro4_rt_001")
    places = range(5, len(source) - 8, 3)
    hits, others = 0, 0
    for at in places:
        found = find_glitches(spiked(source, at, width, height), edge)
        hits += found[at : at + width].all()
        others += found.sum() - found[at : at + width].sum()
    assert hits >= least * len(places)
    assert others <= 0.02 * len(places)


def test_up_and_down_again_is_one_glitch() -> None:
    source, edge = measured("k2cro4_rt_001")
    mu = source.mu.copy()
    mu[300:303] += [0.2, 0.0, -0.2]
    np.testing.assert_array_equal(np.flatnonzero(find_glitches(scan(source.energy, mu), edge)), [300, 302])


def test_energy_jitter_on_a_slope_is_no_glitch() -> None:
    energy = np.arange(7090.0, 7150.0, 0.25)
    jitter = np.random.default_rng(1).normal(0, 0.02, len(energy))
    jitter[::17] = 0.05
    mu = 0.5 + np.arctan((energy + jitter - 7112) / 0.8) / np.pi
    assert not find_glitches(scan(energy, mu), 7112.0).any()


def test_noise_is_no_glitch_and_a_noisy_point_is_none_either() -> None:
    rng = np.random.default_rng(2)
    energy = np.linspace(7200, 7700, 20_000)
    mu = rng.normal(1, 0.01, len(energy))
    assert not find_glitches(scan(energy, mu), 7112.0).any()
    energy, mu = energy[::200], mu[::200].copy()
    mu[50] += 0.3
    variance = np.full(100, 1e-4)
    assert find_glitches(Absorption(energy, mu, variance), 7112.0)[50]
    variance[50] = 0.01  # a point measured as briefly as that may lie so far off
    assert not find_glitches(Absorption(energy, mu, variance), 7112.0).any()


def test_each_of_the_points_at_one_energy_is_judged_by_other_energies() -> None:
    source, edge = measured("k2cro4_rt_001")
    energy, mu = np.tile(source.energy, 3), np.tile(source.mu, 3)
    energy += np.random.default_rng(3).uniform(0, 0.009, len(energy))
    mu[300] += 0.2 * step(source)
    np.testing.assert_array_equal(np.flatnonzero(find_glitches(scan(energy, mu), edge)), [300])
    again = [300, 300 + len(source), 300 + 2 * len(source)]
    mu[again[1:]] += 0.2 * step(source)
    np.testing.assert_array_equal(np.flatnonzero(find_glitches(scan(energy, mu), edge)), again)


def test_a_second_glitch_beside_the_first_is_found() -> None:
    source, edge = measured("k2cro4_rt_001")
    both = spiked(spiked(source, 300, 1, 2.0), 303, 1, -0.2)
    np.testing.assert_array_equal(np.flatnonzero(find_glitches(both, edge)), [300, 303])


def test_points_without_weight_are_passed_over() -> None:
    source, edge = measured("pyrrhotite_rt_01")
    mu, variance = source.mu.copy(), source.variance.copy()
    mu[[60, 61, 150]], variance[[60, 61, 150]] = 0.0, np.inf
    found = find_glitches(Absorption(source.energy, mu, variance), edge)
    np.testing.assert_array_equal(found, find_glitches(source, edge))


@pytest.mark.parametrize("n", range(8))
def test_few_points_hold_none(n: int) -> None:
    mu = np.zeros(n)
    mu[n // 2 :][:1] = 1.0
    assert not find_glitches(scan(7200 + 0.2 * np.arange(n), mu), 7112.0).any()


@pytest.mark.parametrize("mu", [np.zeros(50), np.full(50, 1e7), np.linspace(1e3, 1e3 + 1, 50)], ids=["zero", "one", "line"])
def test_a_featureless_scan_holds_none(mu: np.ndarray) -> None:
    assert not find_glitches(scan(7200 + 0.1 * np.arange(50), mu)).any()


@settings(max_examples=50)
@given(
    name=st.sampled_from(["pyrrhotite_rt_01", "k2cro4_rt_001"]),
    at=st.integers(5, 250),
    width=st.integers(1, 3),
    scale=st.floats(1e-6, 1e6),
    sign=st.sampled_from([-1, 1]),
    offset=st.floats(-100, 100),
    order=st.randoms(use_true_random=False),
)
def test_scale_offset_and_order_do_not_matter(
    name: str, at: int, width: int, scale: float, sign: int, offset: float, order: random.Random
) -> None:
    source, edge = measured(name)
    source = spiked(source, at, width, 0.3)
    found = find_glitches(source, edge)
    shuffled = list(range(len(source)))
    order.shuffle(shuffled)
    changed = scan(source.energy[shuffled], sign * scale * (source.mu[shuffled] + offset))
    np.testing.assert_array_equal(find_glitches(changed, edge), found[shuffled])


@settings(max_examples=50)
@given(at=st.integers(5, 110), shift=st.floats(-20, 20))
def test_a_shift_of_the_energy_does_not_matter(at: int, shift: float) -> None:
    source, edge = measured("Hansel2001_Fe_foil_xanes_001")
    source = spiked(source, at, 1, 0.3)
    moved = scan(source.energy + shift, source.mu)
    np.testing.assert_array_equal(find_glitches(moved, edge + shift), find_glitches(source, edge))
