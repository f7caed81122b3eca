"""The adaptive run on the simulated beamline, and the conventional scan it is compared with."""

from collections.abc import Sequence
from typing import Any

from bluesky import RunEngine

from xas_bluesky.agent import Watch
from xas_bluesky.beamline import Devices, conventional_scan
from xas_bluesky.beamline_sim import BeamlineSettings, SimulatedBeamline
from xas_bluesky.beamline_sim.settings import COUNTING
from xas_bluesky.candidates import Candidate
from xas_bluesky.decision import Spent
from xas_bluesky.outcome import Outcome
from xas_bluesky.plans import xas_scan
from xas_bluesky.predictor_client import PredictorClient
from xas_bluesky.results import Catalog
from xas_bluesky.session import Session
from xas_bluesky.spectra import Spectrum

PATIENCE = 300.0
"""Seconds to wait for a decision: simulated beam time stands still meanwhile, so a busy computer changes nothing."""


def devices_of(beamline: SimulatedBeamline) -> Devices:
    """Return the simulated beamline's devices as a session takes them."""
    devices: Any = beamline  # ophyd's own annotations are older than bluesky's protocols
    return Devices(
        energy=devices.energy,
        dwell=devices.dwell,
        detectors=devices.detectors,
        used=lambda: (beamline.elapsed, beamline.photons),
        settings=COUNTING,
        shutter=devices.shutter,
        ring_current=devices.ring_current,
        stage=devices.stage,
    )


def simulate(
    known: Spectrum,
    candidates: Sequence[Candidate],
    edge: str,
    sample: str,
    predictor: PredictorClient,
    catalog: Catalog,
    *,
    settings: BeamlineSettings | None = None,
    watch: Watch | None = None,
) -> Outcome:
    """Replay a known spectrum on the simulated beamline, measured by the agent; the raw run and record go to the catalog.

    The conventional scan is run too, on a twin of the beamline, for its seconds and photons.
    """
    settings = settings or BeamlineSettings()
    engine = RunEngine({}, call_returns_result=True)
    usual = measure_conventional(SimulatedBeamline(known, edge, settings), edge, sample)
    writer = catalog.writer()
    engine.subscribe(writer)
    session = Session(devices_of(SimulatedBeamline(known, edge, settings)), predictor, catalog, watch)
    plan = session.agent_xas(candidates, edge, sample, conventional_spent=usual, seed=settings.seed, patience=PATIENCE)
    result: Any = engine(plan)
    writer.close()
    return result.plan_result


def measure_conventional(beamline: SimulatedBeamline, edge: str, sample: str) -> Spent:
    """Run the conventional scan and return what it used."""
    scan = conventional_scan(edge)
    devices = devices_of(beamline)
    RunEngine({})(
        xas_scan(devices.energy, devices.dwell, devices.detectors, scan, edge=edge, sample=sample, settings=devices.settings)
    )
    return Spent(len(scan), beamline.elapsed, beamline.photons)
