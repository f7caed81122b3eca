from importlib.resources import as_file, files

import numpy as np
import pytest
from larch.xafs import find_e0 as larch_find_e0

from xas_bluesky.errors import SpectrumError
from xas_bluesky.files import read_spectrum
from xas_bluesky.reduction import find_e0

# xraylarch averages an empty slice for scans of up to 100 points
pytestmark = [
    pytest.mark.filterwarnings("ignore:Mean of empty slice:RuntimeWarning"),
    pytest.mark.filterwarnings("ignore:invalid value encountered:RuntimeWarning"),
]


def edge(n: int, seed: int = 0, noise: float = 0.0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    energy = np.sort(rng.choice(np.arange(2440, 2520, 0.05), n, replace=False))
    mu = 0.5 + np.arctan((energy - 2472.3) / 0.8) / np.pi + np.exp(-(((energy - 2473.5) / 1.2) ** 2))
    return energy, mu + rng.normal(0, noise, n)


@pytest.mark.parametrize("name", ["cysteine", "dodecanethiol", "diphenyl_sulfoxide", "methionine_sulfone"])
def test_measured_spectra_as_xraylarch(name: str) -> None:
    with as_file(files("xas_bluesky") / "data" / "measured" / f"{name}.csv") as path:
        spectrum = read_spectrum(path)
    energy, mu = spectrum.energy, spectrum.channels["mu"]
    assert find_e0(energy, mu) == larch_find_e0(energy, mu)


@pytest.mark.parametrize("n", [40, 99, 100, 101, 102, 103, 200, 400])
@pytest.mark.parametrize("noise", [0.0, 0.01])
def test_irregular_points_as_xraylarch(n: int, noise: float) -> None:
    for seed in range(5):
        energy, mu = edge(n, seed, noise)
        assert find_e0(energy, mu) == pytest.approx(larch_find_e0(energy, mu), abs=1e-9)


def test_a_glitch_is_passed_over() -> None:
    energy, mu = edge(300)
    glitched = mu.copy()
    glitched[40] += 0.3
    assert abs(find_e0(energy, glitched) - find_e0(energy, mu)) < 0.1


def test_a_noisy_end_is_not_taken_for_a_rise() -> None:
    energy = np.arange(2440, 2520, 0.2)
    for seed in range(200):
        mu = 0.5 + np.arctan((energy - 2472.3) / 0.8) / np.pi + np.random.default_rng(seed).normal(0, 0.05, len(energy))
        assert abs(find_e0(energy, mu) - 2472.3) < 1.5


def test_a_bad_first_point_does_not_matter() -> None:
    energy, mu = edge(300)
    mu[0] += 1.5
    assert abs(find_e0(energy, mu) - find_e0(*edge(300))) < 0.1


def test_what_holds_no_edge_is_refused() -> None:
    energy, mu = edge(200)
    for values in (np.ones(200), 3 - 0.01 * (energy - 2440), np.exp(-(energy - 2440) / 50)):
        with pytest.raises(SpectrumError, match="edge in the scan"):
            find_e0(energy, values)
    with pytest.raises(SpectrumError, match="no whole edge in the scan"):
        find_e0(energy[energy < 2473], mu[energy < 2473])


def test_bad_points_are_refused() -> None:
    energy, mu = edge(200)
    with pytest.raises(SpectrumError, match="13 usable points are too few, at least 14 are needed"):
        find_e0(energy[:13], mu[:13])
    with pytest.raises(SpectrumError, match="energies do not increase"):
        find_e0(energy[::-1], mu[::-1])
