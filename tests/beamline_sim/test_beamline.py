from importlib.resources import files

import numpy as np
import pytest
from bluesky import RunEngine

import xas_bluesky.beamline_sim
from xas_bluesky.beamline_sim import BeamlineSettings, FragileSample, SimulatedBeamline
from xas_bluesky.beamline_sim.settings import COUNTING
from xas_bluesky.decision.scan_request import ScanRequest, regions
from xas_bluesky.documents import Collector
from xas_bluesky.errors import EdgeError, SettingsError
from xas_bluesky.plans.xas_scan import xas_scan
from xas_bluesky.reduction import absorption
from xas_bluesky.spectra import Spectrum

E0 = 2472.0
MEASURED = sorted(path.name for path in (files("xas_bluesky") / "data" / "measured").iterdir() if ".csv" in path.name)


def white_line(energy):
    x = energy - E0
    return 0.5 + np.arctan(x / 0.3) / np.pi + 2.0 * np.exp(-0.5 * ((x - 2.0) / 0.8) ** 2)


def scan(beamline, request):
    collector = Collector()
    engine = RunEngine({})
    engine.subscribe(collector)
    engine(xas_scan(beamline.energy, beamline.dwell, beamline.detectors, request, edge="S K", sample="known"))
    return collector.spectrum()


def chi_square_per_point(beamline, spectrum):
    """Compare what was measured with the known absorption, counted with no noise at the true photon energies."""
    measured = absorption(spectrum, settings=COUNTING)
    settings = beamline.settings
    counts = [beamline.rates(energy - settings.energy_offset) for energy in spectrum.energy]
    noiseless = {
        name: (np.array([rates[name] for rates in counts]) + settings.dark_rate) * spectrum.channels["dwell"]
        for name in counts[0]
    }
    expected = absorption(Spectrum(spectrum.energy, noiseless))
    return float(np.mean((measured.mu - expected.mu) ** 2 / measured.variance))


@pytest.mark.parametrize("mode", ["fluorescence", "transmission"])
def test_reduced_mu_is_the_known_one_within_counting_statistics(mode):
    beamline = SimulatedBeamline(white_line, "S K", BeamlineSettings(mode=mode, energy_offset=0.7, seed=5))
    spectrum = scan(beamline, regions(E0, [-30, -10, 30, 45], [2, 0.2, 1], [0.5, 2, 1]))
    assert len(spectrum) == 226
    assert chi_square_per_point(beamline, spectrum) == pytest.approx(1.0, abs=0.3)  # 226 points: 1 ± 0.094
    reduced = absorption(spectrum).mu
    known = beamline.settings.background_ratio + white_line(spectrum.energy - 0.7)
    slope, _ = np.polyfit(known, reduced, 1)
    assert np.corrcoef(known, reduced)[0, 1] > 0.9999
    assert slope == pytest.approx(1.0 if mode == "transmission" else 1e-3, rel=0.01)


@pytest.mark.parametrize("name", MEASURED)
def test_a_measured_spectrum_is_replayed(name):
    energy, mu = np.loadtxt(files("xas_bluesky") / "data" / "measured" / name, delimiter=",", comments="#").T
    beamline = SimulatedBeamline(Spectrum(energy, {"mu": mu}), "S K")
    spectrum = scan(beamline, regions(E0, [-30, -10, 30, 45], [2, 0.2, 1], 1))
    assert chi_square_per_point(beamline, spectrum) == pytest.approx(1.0, abs=0.3)
    below, above = beamline.mu(np.linspace(2445, 2460, 20)), beamline.mu(np.linspace(2500, 2515, 20))
    assert np.mean(below) == pytest.approx(0.0, abs=0.05)
    assert np.mean(above) == pytest.approx(1.0, abs=0.25)


def test_counts_are_poisson_of_the_rate_times_the_dwell():
    settings = BeamlineSettings(flux=1e6, i0_efficiency=0.01, fluorescence_yield=0.02, dark_rate=5.0)
    beamline = SimulatedBeamline(lambda energy: np.full(len(energy), 1.0), "S K", settings)
    beamline.dwell.set(0.5)
    counts = {"i0": [], "fluorescence": []}
    for _ in range(2000):
        beamline.scaler.trigger()
        for name, reading in beamline.scaler.read().items():
            counts[name].append(reading["value"])
    for name, rate in {"i0": 1e6 * 0.01, "fluorescence": 1e6 * 0.01 * 0.02 * (1 + 0.1)}.items():
        expected = (rate + 5.0) * 0.5
        assert np.mean(counts[name]) == pytest.approx(expected, abs=5 * np.sqrt(expected / 2000))
        assert np.var(counts[name]) == pytest.approx(expected, rel=0.15)


def test_everything_repeats_for_a_seed_and_only_for_it():
    def run(seed):
        beamline = SimulatedBeamline(white_line, "S K", BeamlineSettings(seed=seed))
        spectrum = scan(beamline, regions(E0, [-5, 5], [1], 1))
        return np.vstack([spectrum.energy, *spectrum.channels.values()])

    assert np.array_equal(run(1), run(1))
    assert not np.array_equal(run(1), run(2))


def test_the_time_scale_changes_nothing_but_the_wall_time():
    def run(scale):
        beamline = SimulatedBeamline(white_line, "S K", BeamlineSettings(time_scale=scale))
        spectrum = scan(beamline, regions(E0, [-2, 2], [1], 1))
        return [
            spectrum.energy.tolist(),
            spectrum.channels["fluorescence"].tolist(),
            beamline.elapsed,
            beamline.photons,
        ]

    assert run(0.005) == run(0.0)


def test_the_energy_offset_shifts_what_the_user_sees():
    settings = BeamlineSettings(energy_offset=1.5, readback_deviation=0.0)
    beamline = SimulatedBeamline(white_line, "S K", settings)
    spectrum = scan(beamline, regions(E0, [-10, 15], [0.1], 1))
    peak = spectrum.energy[np.argmax(absorption(spectrum).mu)]
    known = spectrum.energy[np.argmax(white_line(spectrum.energy))]
    assert peak - known == pytest.approx(1.5, abs=0.25)


def test_resolution_lowers_the_white_line():
    sharp, blurred = (
        SimulatedBeamline(white_line, "S K", BeamlineSettings(resolution=width)).mu(np.array([E0 + 2.0]))[0]
        for width in (0.0, 3.0)
    )
    assert blurred < 0.85 * sharp


def test_a_beam_dump_leaves_dark_counts_and_no_photons():
    settings = BeamlineSettings(beam_dump=(10.0, 5.0), dark_rate=20.0, settle=0.0, speed=1e30)
    beamline = SimulatedBeamline(white_line, "S K", settings)
    spectrum = scan(beamline, ScanRequest(E0 + 10 + np.arange(20), np.ones(20)))
    fluorescence = spectrum.channels["fluorescence"]
    dark = (spectrum.channels["i0"] < 1e6).nonzero()[0]
    assert dark.tolist() == [10, 11, 12, 13, 14]
    assert fluorescence[dark].max() < 60
    assert fluorescence[:10].min() > 1e4
    assert beamline.photons == pytest.approx(15 * settings.flux, rel=1e-12)


def test_seconds_and_photons_are_exact_sums():
    settings = BeamlineSettings(flux=3e8, speed=4.0, settle=0.3)
    beamline = SimulatedBeamline(white_line, "S K", settings)
    request = regions(E0, [-20, 0, 30], [2, 0.5], [0.5, 1.5])
    scan(beamline, request)
    start = beamline.edge.energy
    travel = abs(request.energy[0] - start) + request.energy[-1] - request.energy[0]
    moves = len(request) if request.energy[0] != start else len(request) - 1
    assert beamline.elapsed == pytest.approx(travel / 4.0 + 0.3 * moves + request.dwell.sum(), rel=1e-12)
    assert beamline.photons == pytest.approx(3e8 * request.dwell.sum(), rel=1e-12)


def flat(value):
    return lambda energy: np.full(len(energy), value)


def count(beamline, seconds=1.0):
    beamline.dwell.set(seconds)
    beamline.scaler.trigger()
    return {name: reading["value"] for name, reading in beamline.scaler.read().items()}


def test_each_slot_of_the_stage_has_its_own_spectrum():
    beamline = SimulatedBeamline([flat(0.0), flat(1.0), white_line], "S K")
    seen = []
    for slot in (0, 1, 2):
        beamline.stage.set(slot)
        assert beamline.mu(np.array([E0 + 2.0]))[0] == pytest.approx([0.0, 1.0, white_line(E0 + 2.0)][slot])
        seen.append(count(beamline)["fluorescence"])
    assert seen[1] / seen[0] == pytest.approx(1.1 / 0.1, rel=0.1)


def test_a_sample_goes_over_into_the_damaged_one_with_the_dose_on_its_spot():
    settings = BeamlineSettings(flux=1e9)
    fragile = FragileSample(flat(2.0), flat(0.5), dose=1e10)
    beamline = SimulatedBeamline([fragile, fragile], "S K", settings)
    energy = np.array([E0])
    assert beamline.mu(energy)[0] == 2.0
    first = count(beamline, 5.0)
    assert beamline.dose == 5e9
    assert beamline.mu(energy)[0] == pytest.approx(0.5 + 1.5 * np.exp(-0.5))
    half_way = 0.5 + 1.5 * np.exp(-0.25) + settings.background_ratio
    assert first["fluorescence"] / first["i0"] == pytest.approx(settings.fluorescence_yield * half_way, rel=0.02)
    beamline.stage.set(1)
    assert (beamline.dose, beamline.mu(energy)[0], beamline.photons) == (0.0, 2.0, 5e9)  # a fresh spot
    count(beamline, 100.0)
    assert beamline.mu(energy)[0] == pytest.approx(0.5, abs=1e-3)
    beamline.stage.set(0)
    assert beamline.dose == 5e9
    assert beamline.photons == pytest.approx(1.05e11)


def test_known_spectra_may_be_the_fresh_and_the_damaged_one():
    energy = E0 + np.arange(-40.0, 60.0, 0.5)
    known = [Spectrum(energy, {"mu": white_line(energy - shift)}) for shift in (0.0, 3.0)]
    beamline = SimulatedBeamline(FragileSample(*known, dose=1e9), "S K", BeamlineSettings(resolution=0.5))
    peaks = [energy[beamline.mu(energy).argmax()]]
    count(beamline, 20.0)
    peaks.append(energy[beamline.mu(energy).argmax()])
    assert peaks == pytest.approx([E0 + 2.0, E0 + 5.0], abs=0.5)


def test_no_photon_without_beam_adds_to_the_dose():
    beamline = SimulatedBeamline(white_line, "S K", BeamlineSettings(beam_dump=(0.0, None)))
    count(beamline, 10.0)
    assert beamline.dose == 0.0


def test_backlash_shifts_what_is_measured_on_the_way_down_only():
    settings = BeamlineSettings(backlash=0.6, readback_deviation=0.0, flux=1e12)
    beamline = SimulatedBeamline(white_line, "S K", settings)
    ratios = {}
    for start in (E0 - 10.0, E0 + 10.0):
        beamline.energy.set(start)
        beamline.energy.set(E0)
        counts = count(beamline)
        ratios[start] = counts["fluorescence"] / counts["i0"] / settings.fluorescence_yield - settings.background_ratio
    assert ratios[E0 - 10.0] == pytest.approx(white_line(E0), rel=1e-3)
    assert ratios[E0 + 10.0] == pytest.approx(white_line(E0 + 0.6), rel=1e-3)


@pytest.mark.parametrize(("mode", "signal"), [("fluorescence", "fluorescence"), ("transmission", "itrans")])
def test_i0_drifts_and_the_signal_does_not(mode, signal):
    beamline = SimulatedBeamline(flat(1.0), "S K", BeamlineSettings(mode=mode, i0_drift=-0.5))
    before = count(beamline)
    count(beamline, 7200.0)
    after = count(beamline)
    assert after["i0"] / before["i0"] == pytest.approx(np.exp(-1.0), rel=1e-2)
    assert after[signal] / before[signal] == pytest.approx(1.0, rel=2e-2)


def test_the_energy_scale_drifts():
    settings = BeamlineSettings(energy_drift=0.5, readback_deviation=0.0, flux=1e12)
    beamline = SimulatedBeamline(white_line, "S K", settings)
    beamline.energy.set(E0 + 1.0)
    count(beamline, 7200.0)
    counts = count(beamline)
    measured = counts["fluorescence"] / counts["i0"] / settings.fluorescence_yield - settings.background_ratio
    assert measured == pytest.approx(white_line(E0), rel=1e-2)  # after two hours the readback is 1 eV too high


def test_no_sample_at_all_is_refused():
    with pytest.raises(SettingsError, match="no sample"):
        SimulatedBeamline([], "S K")


def test_an_unknown_edge_is_refused():
    with pytest.raises(EdgeError, match="'Xx K'"):
        SimulatedBeamline(white_line, "Xx K")


def test_public_names():
    names = xas_bluesky.beamline_sim.__all__
    assert names == sorted(names)
    assert all(hasattr(xas_bluesky.beamline_sim, name) for name in names)
