from typing import get_args

import numpy as np
import pytest

import xas_bluesky.reduction
from xas_bluesky.config import Settings
from xas_bluesky.errors import SpectrumError
from xas_bluesky.reduction import Signal, absorption
from xas_bluesky.reduction.absorption import COUNTERS
from xas_bluesky.reduction.counters import read_counter
from xas_bluesky.spectra import Spectrum

ALL_PHOTONS = dict.fromkeys(("i0", "itrans", "irefer", "fluorescence"), "photons")
PHOTONS = Settings.read({"noise": ALL_PHOTONS}, "test")

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
    repeats = [absorption(counted(rng), signal, PHOTONS) for _ in range(200)]
    truth = white_line(ENERGY) * (0.02 if signal == "fluorescence" else 0.2)
    mean, scatter = np.mean([r.mu for r in repeats], axis=0), np.var([r.mu for r in repeats], axis=0)
    stated = np.mean([r.variance for r in repeats], axis=0)
    np.testing.assert_allclose(mean, truth, atol=6e-3)
    assert np.mean(scatter / stated) == pytest.approx(1.0, abs=0.05)


def test_variance_formulas() -> None:
    spectrum = Spectrum([2470.0], {"i0": [1000], "itrans": [400], "irefer": [100], "fluorescence": [50]})
    np.testing.assert_allclose(absorption(spectrum, settings=PHOTONS).variance, 1 / 1000 + 1 / 400)
    np.testing.assert_allclose(absorption(spectrum, "reference", PHOTONS).variance, 1 / 400 + 1 / 100)
    np.testing.assert_allclose(absorption(spectrum, "fluorescence").mu, 0.05)
    np.testing.assert_allclose(absorption(spectrum, "fluorescence", PHOTONS).variance, 0.05**2 * (1 / 1000 + 1 / 50))


def test_lost_beam_weighs_nothing_and_keeps_its_place() -> None:
    spectrum = counted(np.random.default_rng(2))
    channels = {name: values.copy() for name, values in spectrum.channels.items()}
    channels["i0"][[3, 50, 51]] = [0, -2, 90]  # 90: dark counts
    channels["itrans"][[3, 50, 51, 60]] = [5, 80, 75, 0]
    dumped = absorption(Spectrum(ENERGY, channels), settings=PHOTONS)
    lost = np.zeros(len(ENERGY), dtype=bool)
    lost[[3, 50, 51, 60]] = True
    assert np.isinf(dumped.variance[lost]).all()
    assert dumped.flags["beam lost"].nonzero()[0].tolist() == [51]
    np.testing.assert_array_equal(dumped.mu[~lost], absorption(spectrum, settings=PHOTONS).mu[~lost])
    np.testing.assert_array_equal(dumped.variance[~lost], absorption(spectrum, settings=PHOTONS).variance[~lost])


def test_a_short_dwell_is_no_lost_beam() -> None:
    dwell = np.where(np.arange(40) < 4, 0.01, 2.0)
    i0 = np.rint(1e5 * dwell)
    channels = {"i0": i0, "itrans": np.rint(0.5 * i0)}
    energy = 2460 + np.arange(40.0)
    assert np.isfinite(absorption(Spectrum(energy, {**channels, "dwell": dwell}), settings=PHOTONS).variance).all()
    assert np.isinf(absorption(Spectrum(energy, channels), settings=PHOTONS).variance[:4]).all()


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
    with pytest.raises(SpectrumError, match="'auto' needs i0 and itrans or fluorescence and i0 or electron_yield and i0"):
        absorption(spectrum)


@pytest.mark.parametrize("signal", ["transmission", "fluorescence"])
def test_counts_of_no_declared_noise_are_no_photons(signal: Signal) -> None:
    spectrum = counted(np.random.default_rng(6), dose=1e6)
    louder = Spectrum(ENERGY, {name: 50 * counts for name, counts in spectrum.channels.items()})
    stated, assumed = absorption(louder, signal), absorption(louder, signal, PHOTONS)
    assert (stated.noise, assumed.noise) == ("scatter", "photons")
    truth = np.median(absorption(spectrum, signal, PHOTONS).variance)
    assert np.median(stated.variance) == pytest.approx(truth, rel=0.6)
    assert np.median(assumed.variance) == pytest.approx(truth / 50)


def test_a_converter_s_gain_gives_the_noise_of_its_counts() -> None:
    spectrum = counted(np.random.default_rng(6))
    gains = {"i0": 50.0, "itrans": 20.0}
    scaled = {name: counts * gains.get(name, 1.0) for name, counts in spectrum.channels.items()}
    found = absorption(Spectrum(ENERGY, scaled), "transmission", Settings(noise=gains))
    assert found.noise == "gain"
    np.testing.assert_allclose(found.variance, absorption(spectrum, "transmission", PHOTONS).variance)


def test_repeated_points_tell_the_noise() -> None:
    rng = np.random.default_rng(7)
    energy = np.tile(np.arange(2440.0, 2520.0, 4.0), 5)  # too coarse for scatter: the white line would be noise
    dwell = np.repeat([1.0, 1.0, 4.0, 4.0, 4.0], 20)
    mu = white_line(energy) + rng.normal(0, 0.02, 100) / np.sqrt(dwell)
    found = absorption(Spectrum(energy, {"mu": mu, "dwell": dwell}))
    assert found.noise == "repeats"
    assert np.sqrt(found.variance[0]) == pytest.approx(0.02, rel=0.2)
    assert found.variance[0] == pytest.approx(4 * found.variance[-1])


def test_dark_counts_are_taken_off() -> None:
    channels = counted(np.random.default_rng(8), dose=1e4).channels
    dwell = np.linspace(0.5, 2.0, len(ENERGY))
    darker = {name: counts + 30.0 * dwell for name, counts in channels.items()} | {"dwell": dwell}
    settings = Settings(dark={"i0": 30.0, "itrans": 30.0})
    found = absorption(Spectrum(ENERGY, darker), "transmission", settings)
    np.testing.assert_allclose(found.mu, np.log(channels["i0"] / channels["itrans"]), rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("recorded", [True, False])
def test_dead_time_of_each_element_is_corrected(recorded: bool) -> None:
    rng = np.random.default_rng(9)
    i0, dwell, dead_time = np.full(len(ENERGY), 1e6), np.full(len(ENERGY), 0.5), 2e-6
    channels, true = {"i0": i0, "dwell": dwell}, np.zeros(len(ENERGY))
    for number, share in enumerate((1.0, 2.5, 0.4), 1):
        incoming = 3e4 * share * white_line(ENERGY) * rng.uniform(0.99, 1.01)
        outgoing = incoming / (1 + incoming * dead_time)
        channels[f"fluorescence_{number}"] = outgoing * dwell
        if recorded:
            channels |= {f"icr_{number}": incoming, f"ocr_{number}": outgoing}
        true += incoming * dwell
    settings = Settings.read({"fluorescence": {} if recorded else {"dead_time": dead_time}, "noise": ALL_PHOTONS}, "test")
    found = absorption(Spectrum(ENERGY, channels), "fluorescence", settings)
    np.testing.assert_allclose(found.mu, true / i0, rtol=1e-9)
    assert (found.variance > found.mu**2 * (1 / true + 1 / i0)).all()  # fewer photons were counted than there were


def test_an_element_that_never_counts_is_left_out_and_said() -> None:
    alive = np.linspace(100.0, 200.0, 40)
    channels = {"i0": np.full(40, 1e4), "fluorescence_1": alive, "fluorescence_2": np.zeros(40), "fluorescence_3": alive}
    spectrum = Spectrum(np.arange(40.0) + 7000, channels)
    found = read_counter(spectrum, "fluorescence", Settings())
    np.testing.assert_array_equal(found.counts, 2 * alive)
    assert found.remarks == ("fluorescence_2 never counts; it is left out",)
    assert absorption(spectrum).usable.all()


def test_electron_yield_and_the_mode_that_is_said() -> None:
    channels = {**counted(np.random.default_rng(1)).channels}
    channels["electron_yield"] = channels.pop("fluorescence") * 3.0
    spectrum = Spectrum(ENERGY, channels)
    assert absorption(spectrum).signal == "transmission"
    found = absorption(spectrum, settings=Settings(mode="electron_yield"))
    np.testing.assert_array_equal(found.mu, channels["electron_yield"] / channels["i0"])
    with pytest.raises(SpectrumError, match="fluorescence and i0"):
        absorption(spectrum, settings=Settings(mode="fluorescence"))


def test_each_point_that_cannot_be_used_says_why_and_the_others_stay() -> None:
    clean = counted(np.random.default_rng(2))
    channels = {name: values.copy() for name, values in clean.channels.items()}
    energy, setpoint = clean.energy.copy(), clean.energy.copy()
    channels["itrans"][5] = np.nan
    channels["i0"][6] = 0
    channels["i0"][7] = -4
    channels["itrans"][8] = 2e6
    channels["i0"][9] = 90
    energy[11] = energy[10]
    energy[12] = np.nan
    channels["energy_setpoint"] = setpoint
    settings = Settings.read({"noise": ALL_PHOTONS, "saturation": {"itrans": 1e6}, "glitches": [[2479.9, 2480.3]]}, "test")
    found = absorption(Spectrum(energy, channels), settings=settings)
    assert {reason: list(np.flatnonzero(mask)) for reason, mask in found.flags.items()} == {
        "not a number": [5],
        "counts not positive": [6, 7],
        "saturated": [8],
        "beam lost": [9],
        "energy not moving": [11],
        "no energy": [12],
        "glitch window": [100, 101],
    }
    bad = np.logical_or.reduce(list(found.flags.values()))
    np.testing.assert_array_equal(found.usable, ~bad)
    whole = absorption(clean, settings=PHOTONS)
    np.testing.assert_array_equal(found.variance[~bad], whole.variance[~bad])
    assert np.isfinite(found.mu).all()


def test_public_names() -> None:
    names = xas_bluesky.reduction.__all__
    assert names == sorted(names)
    assert all(hasattr(xas_bluesky.reduction, name) for name in names)
    assert set(get_args(Signal)) == {"auto", "mu", *COUNTERS}
