"""The predictor's process killed in the middle of a run: the run goes on."""

import os
import signal
from importlib.resources import files
from pathlib import Path

import bluesky.plan_stubs as bps
import pytest
from bluesky import RunEngine

from xas_bluesky.beamline_sim import SimulatedBeamline
from xas_bluesky.decision import Budget
from xas_bluesky.demo import known_sample
from xas_bluesky.errors import PredictionError
from xas_bluesky.predictor_client import LocalPredictor
from xas_bluesky.session import Session
from xas_bluesky.simulation import PATIENCE, devices_of

CANDIDATES = Path(str(files("xas_bluesky") / "data")) / "candidates" / "sulfur.csv"


def killed(predictor):
    os.kill(predictor._process.pid, signal.SIGKILL)


@pytest.mark.slow
@pytest.mark.parametrize("when", ["before it answers", "after it answered"])
def test_a_run_goes_on_without_its_predictor(when, kept):
    documents = []
    engine = RunEngine({}, call_returns_result=True)
    engine.subscribe(lambda name, doc: documents.append((name, doc)))
    with LocalPredictor() as predictor:
        session = Session(devices_of(SimulatedBeamline(known_sample(), "S K")), predictor, kept)
        if when == "before it answers":
            killed(predictor)
        else:

            def kill(_):  # predictions are there when a sample is made ready
                killed(predictor)
                yield from bps.null()

            session.before_sample = [kill]
        plan = session.agent_xas(CANDIDATES, "S K", "mine", budget=Budget(points=40), patience=PATIENCE)
        if when == "before it answers":
            with pytest.raises(PredictionError, match=r"was measured and kept, but not analysed: .*predictor gave no answer"):
                engine(plan)
        else:
            assert engine(plan).plan_result.raw_uid == documents[0][1]["uid"]
    (stop,) = [doc for name, doc in documents if name == "stop"]
    assert stop["exit_status"] == "success"
    assert stop["num_events"]["primary"] == 40
    assert len(kept.records) == (when == "after it answered")
