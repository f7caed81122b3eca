from typing import get_args

import numpy as np
import pytest

import xas_bluesky.reduction
from xas_bluesky.errors import SpectrumError
from xas_bluesky.reduction import Signal, absorption
from xas_bluesky.reduction.absorption import CHANNELS
from xas_bluesky.spectra import Spectrum

ENERGY = np.concatenate([np.arange(2442.0, 2462, 2), np.arange(2462, 2502, 0.2), np.arange(2502, 2518, 1)])


def white_line(energy: np.ndarray) -> np.ndarray:
    """Make an edge with a white line of five edge steps, as of a sulfate."""
    edge = 0.5 + np.arctan((energy - 2480) / 0.5) / np.pi
    return 0.2 + edge + 5 * np.exp(-(((energy - 2480.5) / 0.9) ** 2)) - 1e-3 * (energy - 2480)


def counted(rng: np.random.Generator, dose: float = 1e5) -> Spectrum:
    mu = 0.2 * white_line(ENERGY)
    i0 = rng.poisson(dose, len(ENERGY))
    itrans = rng.poisson(dose * np.exp(-mu))
    irefer = rng.poisson(dose * np.exp(-2 * mu))
    fluorescence = rng.poisson(0.1 * dose * mu)
    return Spectrum(ENERGY, {"i0": i0, "itrans": itrans, "irefer": irefer, "fluorescence": fluorescence})


@pytest.mark.parametrize("signal", ["auto", "transmission", "reference", "fluorescence"])
def test_variance_of_counts_is_what_repeats_scatter_by(signal: Signal) -> None:
    rng = np.random.default_rng(1)
    repeats = [absorption(counted(rng), signal) for _ in range(200)]
    truth = white_line(ENERGY) * (0.02 if signal == "fluorescence" else 0.2)
    mean, scatter = np.mean([r.mu for r in repeats], axis=0), np.var([r.mu for r in repeats], axis=0)
    stated = np.mean([r.variance for r in repeats], axis=0)
    np.testing.assert_allclose(mean, truth, atol=6e-3)
    assert np.mean(scatter / stated) == pytest.approx(1.0, abs=0.05)


def test_variance_formulas() -> None:
    spectrum = Spectrum([2470.0], {"i0": [1000], "itrans": [400], "irefer": [100], "fluorescence": [50]})
    np.testing.assert_allclose(absorption(spectrum).variance, 1 / 1000 + 1 / 400)
    np.testing.assert_allclose(absorption(spectrum, "reference").variance, 1 / 400 + 1 / 100)
    np.testing.assert_allclose(absorption(spectrum, "fluorescence").mu, 0.05)
    np.testing.assert_allclose(absorption(spectrum, "fluorescence").variance, 0.05**2 * (1 / 1000 + 1 / 50))


def test_lost_beam_weighs_nothing_and_keeps_its_place() -> None:
    spectrum = counted(np.random.default_rng(2))
    channels = {name: values.copy() for name, values in spectrum.channels.items()}
    channels["i0"][[3, 50, 51]] = [0, -2, 90]  # 90: dark counts
    channels["itrans"][[3, 50, 51, 60]] = [5, 80, 75, 0]
    dumped = absorption(Spectrum(ENERGY, channels))
    lost = np.zeros(len(ENERGY), dtype=bool)
    lost[[3, 50, 51, 60]] = True
    assert np.isinf(dumped.variance[lost]).all()
    assert (dumped.mu[lost] == 0).all()
    np.testing.assert_array_equal(dumped.mu[~lost], absorption(spectrum).mu[~lost])
    np.testing.assert_array_equal(dumped.variance[~lost], absorption(spectrum).variance[~lost])


def test_a_short_dwell_is_no_lost_beam() -> None:
    dwell = np.where(np.arange(40) < 4, 0.01, 2.0)
    i0 = np.rint(1e5 * dwell)
    channels = {"i0": i0, "itrans": np.rint(0.5 * i0)}
    energy = 2460 + np.arange(40.0)
    assert np.isfinite(absorption(Spectrum(energy, {**channels, "dwell": dwell})).variance).all()
    assert np.isinf(absorption(Spectrum(energy, channels)).variance[:4]).all()


def test_nothing_but_lost_beam_is_no_error() -> None:
    dark = absorption(Spectrum([1.0, 2.0], {"i0": [0, 0], "itrans": [3, 4]}))
    assert np.isinf(dark.variance).all()


@pytest.mark.parametrize("noise", [1e-4, 1e-3, 1e-2, 1e-1])
@pytest.mark.parametrize(
    "energy", [ENERGY, np.sort(np.random.default_rng(0).uniform(2450, 2510, 300))], ids=["regions", "irregular"]
)
def test_noise_of_mu_is_found_below_a_white_line(energy: np.ndarray, noise: float) -> None:
    rng = np.random.default_rng(3)
    found = [
        np.sqrt(absorption(Spectrum(energy, {"mu": white_line(energy) + rng.normal(0, noise, len(energy))})).variance[0])
        for _ in range(20)
    ]
    assert np.mean(found) == pytest.approx(noise, rel=0.35)


def test_order_and_repeats_do_not_change_the_noise() -> None:
    rng = np.random.default_rng(4)
    mu = white_line(ENERGY) + rng.normal(0, 0.01, len(ENERGY))
    order = rng.permutation(len(ENERGY))
    sorted_ = absorption(Spectrum(ENERGY, {"mu": mu})).variance[0]
    shuffled = absorption(Spectrum(ENERGY[order], {"mu": mu[order]})).variance[0]
    repeated = absorption(Spectrum(np.repeat(ENERGY, 2), {"mu": np.repeat(mu, 2)})).variance[0]
    assert sorted_ == pytest.approx(shuffled)
    assert sorted_ == pytest.approx(repeated)


@pytest.mark.parametrize("scale", [1e-12, 2.3e-5, 1.1])
def test_currents_are_not_taken_for_counts(scale: float) -> None:
    rng = np.random.default_rng(5)
    counts = counted(rng, dose=1e6).channels
    currents = absorption(Spectrum(ENERGY, {"i0": counts["i0"] * scale, "itrans": counts["itrans"] * scale}))
    expected = np.sqrt(np.median(1 / counts["i0"] + 1 / counts["itrans"]))
    assert np.sqrt(currents.variance[0]) == pytest.approx(expected, rel=0.3)


def test_whole_volts_are_not_counts() -> None:
    i0 = np.tile([2.0, 3.0], 10)
    volts = absorption(Spectrum(2460 + np.arange(20.0), {"i0": i0, "itrans": np.full(20, 1.0)}))
    assert len(np.unique(volts.variance)) == 1


def test_too_little_to_tell_the_noise_by_weighs_nothing() -> None:
    assert np.isinf(absorption(Spectrum(ENERGY[:4], {"mu": [0.1, 0.3, 0.2, 0.4]})).variance).all()
    assert np.isinf(absorption(Spectrum(ENERGY, {"mu": np.ones(len(ENERGY))})).variance).all()


def test_noiseless_mu_still_has_a_variance() -> None:
    straight = absorption(Spectrum(ENERGY, {"mu": ENERGY / 1000}))
    assert 0 < straight.variance[0] < 1e-11


def test_missing_channels_are_named() -> None:
    spectrum = Spectrum([2470.0], {"i0": [1000], "irefer": [5]})
    with pytest.raises(SpectrumError, match="'reference' needs itrans and irefer, the spectrum has i0, irefer"):
        absorption(spectrum, "reference")
    with pytest.raises(SpectrumError, match="'auto' needs i0 and itrans or fluorescence and i0 or mu"):
        absorption(spectrum)


def test_public_names() -> None:
    assert xas_bluesky.reduction.__all__ == ["Signal", "absorption", "find_e0", "normalize"]
    assert set(get_args(Signal)) == {"auto", *CHANNELS}
