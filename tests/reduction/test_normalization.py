from importlib.resources import as_file, files

import numpy as np
import pytest
from larch import Group
from larch.xafs import pre_edge

from xas_bluesky.errors import SpectrumError
from xas_bluesky.files import read_spectrum
from xas_bluesky.reduction import absorption, normalize
from xas_bluesky.spectra import Absorption

# xraylarch averages an empty slice for scans of up to 100 points
pytestmark = [
    pytest.mark.filterwarnings("ignore:Mean of empty slice:RuntimeWarning"),
    pytest.mark.filterwarnings("ignore:invalid value encountered:RuntimeWarning"),
]

SHIPPED = ["cysteine", "dodecanethiol", "diphenyl_sulfoxide", "methionine_sulfone"]


def shipped(name: str) -> Absorption:
    with as_file(files("xas_bluesky") / "data" / "measured" / f"{name}.csv") as path:
        return absorption(read_spectrum(path))


def exafs(noise: float = 0.0, seed: int = 0) -> Absorption:
    """Make an iron-like scan: 0.3 eV steps across the edge, k steps and decaying oscillations beyond."""
    k = np.arange(2.85, 13, 0.05)
    energy = np.concatenate([np.arange(6960.0, 7090, 5), np.arange(7090, 7143, 0.3), 7112 + 3.81 * k**2])
    above = np.clip(energy - 7112, 0, None)
    mu = 3.2 - 3e-4 * (energy - 7112) + 1.4 * (0.5 + np.arctan((energy - 7112) / 1.1) / np.pi)
    mu += 0.4 * np.exp(-(((energy - 7131) / 6) ** 2)) - 2e-4 * above + 6e-8 * above**2
    mu += 0.1 * np.sin(0.9 * np.sqrt(above)) * np.exp(-above / 300)
    mu += np.random.default_rng(seed).normal(0, noise, len(energy)) if noise else 0
    return Absorption(energy, mu, np.ones(len(energy)))


def thinned(source: Absorption, step: int) -> Absorption:
    return Absorption(source.energy[::step], source.mu[::step], source.variance[::step])


def assert_same_as_larch(source: Absorption, **settings: float) -> None:
    ours = normalize(source, **settings)
    larch = Group(energy=np.array(source.energy), mu=np.array(source.mu))
    pre_edge(larch, **settings)
    for name in ("e0", "edge_step", "norm", "flat", "pre_edge", "post_edge"):
        np.testing.assert_allclose(getattr(ours, name), getattr(larch, name), rtol=0, atol=1e-6, err_msg=name)


@pytest.mark.parametrize("name", SHIPPED)
@pytest.mark.parametrize("step", [1, 2, 5])
def test_measured_spectra_as_xraylarch(name: str, step: int) -> None:
    assert_same_as_larch(thinned(shipped(name), step))


@pytest.mark.parametrize("noise", [0.0, 1e-3, 1e-2, 3e-2])
@pytest.mark.parametrize("step", [1, 3, 4])
def test_long_scans_as_xraylarch(noise: float, step: int) -> None:
    assert_same_as_larch(thinned(exafs(noise), step))


@pytest.mark.parametrize(
    "settings",
    [
        {"e0": 7115.0},
        {"pre1": -120, "pre2": -40},
        {"pre1": -1000},
        {"norm1": 60, "norm2": 400},
        {"norm2": 5000},
        {"nnorm": 0},
        {"nnorm": 3},
        {"nvict": 3},
        {"nvict": 2, "nnorm": 2, "norm1": 40, "pre2": -30},
    ],
    ids=str,
)
def test_settings_as_xraylarch(settings: dict[str, float]) -> None:
    assert_same_as_larch(exafs(1e-3), **settings)


@pytest.mark.parametrize("stop", [7125, 7135, 7160, 7300])
def test_short_scans_as_xraylarch(stop: float) -> None:
    source = exafs(1e-3)
    kept = source.energy < stop
    assert_same_as_larch(Absorption(source.energy[kept], source.mu[kept], source.variance[kept]))


def test_a_falling_start_as_xraylarch() -> None:
    source = exafs(1e-3)
    mu = source.mu.copy()
    mu[:8] = [4.9, 4.2, 3.2, 3.9, 4.6, 5.2, 5.9, 3.3]  # the beam comes up: steepest there
    with pytest.raises(SpectrumError, match="no edge in the scan"):
        normalize(Absorption(source.energy, mu, source.variance))
    assert_same_as_larch(Absorption(source.energy, mu, source.variance), e0=7112.0, pre1=-100)


def test_offset_and_scale_of_mu_do_not_matter() -> None:
    source = shipped("cysteine")
    changed = normalize(Absorption(source.energy, 40 * source.mu - 7, source.variance))
    np.testing.assert_allclose(changed.norm, normalize(source).norm, atol=1e-9)
    np.testing.assert_allclose(changed.edge_step, 40 * normalize(source).edge_step)


def test_order_of_measurement_does_not_matter() -> None:
    source = shipped("cysteine")
    order = np.random.default_rng(6).permutation(len(source))
    shuffled = normalize(Absorption(source.energy[order], source.mu[order], source.variance[order]))
    np.testing.assert_array_equal(shuffled.energy, source.energy)
    np.testing.assert_array_equal(shuffled.flat, normalize(source).flat)


def coarse(slope: float) -> Absorption:
    """Make a scan in steps of 10 eV below the edge, too few of them in the pre-edge window for a line."""
    source = exafs()
    kept = (source.energy > 7090) | (np.abs(source.energy - 7070) < 21) & (source.energy % 10 == 0)
    mu = source.mu + slope * (source.energy - 7112)
    return Absorption(source.energy[kept], mu[kept], source.variance[kept])


def test_a_pre_edge_of_few_points_is_level_as_by_xraylarch_unless_it_slopes() -> None:
    flat = normalize(coarse(0.0))
    assert np.ptp(flat.pre_edge) == 0
    assert_same_as_larch(coarse(0.0))
    assert flat.edge_step == pytest.approx(normalize(exafs()).edge_step, rel=0.05)
    with pytest.raises(SpectrumError, match=r"pre-edge window .* needs at least 3 points"):
        normalize(coarse(5e-3))
    with pytest.raises(SpectrumError, match=r"pre-edge window .* needs at least 3 points"):
        normalize(coarse(0.0), pre1=-50)


def test_repeated_points_are_averaged() -> None:
    source = exafs()
    again = np.sort(np.concatenate([np.arange(len(source)), np.arange(20, len(source), 3)]))
    off = np.where(np.diff(again, prepend=-1) == 0, 1.0, 0.0)  # the second of two is off, and weighs a millionth
    repeated = Absorption(source.energy[again], source.mu[again] + off, 1 + 1e6 * off)
    found, expected = normalize(repeated), normalize(source)
    np.testing.assert_allclose(found.energy, expected.energy, atol=1e-9)
    np.testing.assert_allclose(found.norm, expected.norm, atol=1e-5)
    assert found.e0 == pytest.approx(expected.e0)


def test_points_without_weight_are_left_out() -> None:
    source = shipped("cysteine")
    mu, variance = source.mu.copy(), source.variance.copy()
    lost = [5, 150, 151, 300]
    mu[lost], variance[lost] = 0.0, np.inf
    without = np.delete(np.arange(len(source)), lost)
    expected = normalize(Absorption(source.energy[without], source.mu[without], source.variance[without]))
    found = normalize(Absorption(source.energy, mu, variance))
    np.testing.assert_array_equal(found.energy, expected.energy)
    np.testing.assert_array_equal(found.norm, expected.norm)


@pytest.mark.parametrize("name", SHIPPED)
@pytest.mark.parametrize("above", [-6, -4, -2, 0, 2, 6])
def test_a_scan_that_has_not_passed_the_edge_is_refused(name: str, above: float) -> None:
    source = shipped(name)
    kept = source.energy < normalize(source).e0 + above
    with pytest.raises(SpectrumError):
        normalize(Absorption(source.energy[kept], source.mu[kept], source.variance[kept]))


def test_noise_is_no_edge() -> None:
    energy = np.linspace(2440, 2510, 200)
    rng = np.random.default_rng(7)
    refused = 0
    for _ in range(100):
        try:
            normalize(Absorption(energy, 1 + rng.normal(0, 0.1, 200), np.full(200, 0.01)))
        except SpectrumError:
            refused += 1
    assert refused >= 95


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"e0": 6950.0}, r"e0 = 6950 eV lies outside the scan \(6960.0 to"),
        ({"e0": float("nan")}, "lies outside the scan"),
        ({"pre1": -40, "pre2": -60}, "pre-edge window -40 to -60 eV .* needs pre1 < pre2 <= 0"),
        ({"pre2": 10}, "needs pre1 < pre2 <= 0"),
        ({"pre1": -50, "pre2": -45}, "pre-edge window .* needs at least 3 points"),
        ({"norm1": 300, "norm2": 200}, "post-edge window 300 to 200 eV"),
        ({"norm1": -5}, "needs norm1 >= 0"),
        ({"norm1": 2000}, "post-edge window"),
        ({"norm1": 500, "norm2": 510}, "post-edge window 500 to 510 eV .* needs at least 5 points"),
        ({"nnorm": 4}, "needs 0 <= nnorm <= 3"),
        ({"nnorm": -1}, "needs 0 <= nnorm <= 3"),
    ],
    ids=str,
)
def test_bad_settings_are_refused_not_repaired(settings: dict[str, float], message: str) -> None:
    with pytest.raises(SpectrumError, match=message):
        normalize(exafs(), **settings)


def test_bad_points_are_refused() -> None:
    source = exafs()
    with pytest.raises(SpectrumError, match="mu must rise at the edge"):
        normalize(Absorption(source.energy, -source.mu, source.variance), e0=7112.0)
    with pytest.raises(SpectrumError, match="7 usable points are too few"):
        normalize(Absorption(source.energy[:7], source.mu[:7], source.variance[:7]))
    with pytest.raises(SpectrumError, match="NaN"):
        normalize(Absorption(source.energy, np.where(source.energy > 7300, np.nan, source.mu), source.variance))
