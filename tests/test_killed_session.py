"""A session that is killed in the middle of a run, and loaded again."""

import os
import signal
import subprocess
import sys

import pytest

from xas_bluesky.replaying import replay_record
from xas_bluesky.results import open_catalog

MEASURING = """
import sys, time
from importlib.resources import files
from pathlib import Path
from bluesky import RunEngine
from xas_bluesky.beamline_sim import SimulatedBeamline
from xas_bluesky.demo import known_sample
from xas_bluesky.predictor_client import LocalPredictor
from xas_bluesky.results import open_catalog
from xas_bluesky.session import Session
from xas_bluesky.simulation import PATIENCE, devices_of

def watch(step):
    seen.append(step)
    if len(seen) == 3:
        print("deciding", flush=True)
        time.sleep(600)

seen, RE = [], RunEngine({})
catalog = open_catalog(sys.argv[1])
RE.subscribe(catalog.writer())
session = Session(devices_of(SimulatedBeamline(known_sample(), "S K")), LocalPredictor(), catalog, watch)
candidates = Path(str(files("xas_bluesky") / "data")) / "candidates" / "sulfur.csv"
RE(session.agent_xas(candidates, "S K", "mine", patience=PATIENCE))
"""


@pytest.mark.slow
def test_what_was_answered_before_the_session_was_killed_is_recorded_when_it_is_loaded_again(tmp_path):
    folder = tmp_path / "catalog"
    with subprocess.Popen([sys.executable, "-c", MEASURING, str(folder)], stdout=subprocess.PIPE, text=True) as session:
        assert session.stdout is not None
        assert session.stdout.readline() == "deciding\n"
        os.kill(session.pid, signal.SIGKILL)
    with open_catalog(folder) as catalog:
        ((key, container),) = catalog.analyses.items()
        record = catalog.load(key)
        (run,) = catalog.runs.values()
        stop, points = run.metadata["stop"], len(run["primary"].read()["time"])
        replayed = replay_record(catalog, key)
    assert (record.exit_status, record.stop_reason) == ("abort", "interrupted: the session was killed")
    assert record.raw_uid == run.metadata["start"]["uid"] == container.metadata["raw_uid"]
    assert (stop["exit_status"], stop["reason"]) == ("abort", "interrupted: the session was killed")
    assert points == stop["num_events"]["primary"] >= record.points
    assert not list((folder / "journal").iterdir())
    assert len(record.decisions) == 3  # the first look, and two decisions
    assert record.ranking[0].probability > 0.1
    assert replayed.first_difference is None
