import pytest

from xas_bluesky.beamline import conventional_scan
from xas_bluesky.beamline_sim import BeamlineSettings, SimulatedBeamline
from xas_bluesky.errors import EdgeError, SpectrumError
from xas_bluesky.simulation import devices_of, measure_conventional, simulate
from xas_bluesky.spectra import Spectrum

SCAN = conventional_scan("S K").energy


@pytest.fixture
def known(laboratory):
    """A measured spectrum of the sulfoxide, in arbitrary units."""
    return Spectrum(SCAN, {"mu": 3.0 + 0.2 * laboratory.sample("sulfoxide")(SCAN)})


def test_a_known_spectrum_is_recognized_and_compared_with_the_conventional_scan(known, laboratory, catalog):
    steps = []
    settings = BeamlineSettings(seed=5, energy_offset=0.3)
    outcome = simulate(known, laboratory.candidates, "S K", "mine", laboratory, catalog, settings=settings, watch=steps.append)
    assert outcome.answer.ranking[0].candidate == "sulfoxide"
    assert outcome.steps == tuple(steps)
    assert outcome.conventional.points == len(SCAN)
    assert outcome.conventional.photons == pytest.approx(len(SCAN) * settings.flux)
    assert outcome.spent.points < outcome.conventional.points
    assert outcome.spent.seconds < outcome.conventional.seconds
    record = catalog.load(outcome.record)
    assert (record.sample, record.edge, record.seed) == ("mine", "S K", 5)
    assert (record.seconds_conventional, record.photons_conventional) == (
        outcome.conventional.seconds,
        outcome.conventional.photons,
    )
    start = catalog.runs[outcome.raw_uid].metadata["start"]
    assert (start["plan_name"], start["sample_name"]) == ("agent_xas", "mine")

    again = simulate(known, laboratory.candidates, "S K", "mine", laboratory, catalog, settings=settings)
    assert again.answer == outcome.answer
    assert again.spent == outcome.spent
    assert again.raw_uid != outcome.raw_uid


def test_a_spectrum_without_the_edge_is_refused_before_anything_runs(laboratory, catalog):
    runs = len(catalog.runs)
    nickel = Spectrum(8333.0 + SCAN - 2472.0, {"mu": laboratory.sample("thiol")(SCAN)})
    with pytest.raises(SpectrumError, match="without the S K edge"):
        simulate(nickel, laboratory.candidates, "S K", "nickel", laboratory, catalog)
    with pytest.raises(EdgeError):
        simulate(nickel, laboratory.candidates, "nickel", "nickel", laboratory, catalog)
    assert len(catalog.runs) == runs


def test_the_conventional_scan_says_what_it_used(known):
    beamline = SimulatedBeamline(known, "S K")
    spent = measure_conventional(beamline, "S K", "mine")
    assert (spent.points, spent.seconds, spent.photons) == (len(SCAN), beamline.elapsed, beamline.photons)
    assert spent.seconds > len(SCAN)


def test_the_devices_say_what_they_used(known):
    beamline = SimulatedBeamline(known, "S K")
    devices = devices_of(beamline)
    assert devices.used() == (0.0, 0.0)
    devices.dwell.set(2.0)
    devices.detectors[0].trigger()
    assert devices.used() == (2.0, pytest.approx(2 * beamline.settings.flux))
