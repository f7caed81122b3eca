import json
import subprocess
import sys

import numpy as np
import pytest

from xas_bluesky.candidates import Candidate
from xas_bluesky.prediction import Predictor
from xas_bluesky.prediction.worker import answer
from xas_bluesky.wire import prediction_from_wire


def request(edge: str, *candidates: tuple[str, str, str]) -> str:
    return json.dumps({"edge": edge, "candidates": candidates})


def test_a_request_is_answered_with_the_prediction(predictor: Predictor):
    found = prediction_from_wire(json.loads(json.dumps(answer(request("S K", ("thiol", "CCS", "a:1"), ("bad", "C1", "a:2"))))))
    expected = predictor.predict([Candidate("thiol", "CCS", "a:1"), Candidate("bad", "C1", "a:2")])
    assert np.array_equal(found.spectra.mean, expected.spectra.mean)
    assert found.rejected == expected.rejected


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (request("Cu K", ("a", "CS", "")), "no model covers it"),
        (request("S K", ("a", "CCO", "a:1")), "a:1: candidate 'a': 'CCO' holds no S"),
        (request("S K", ("", "CS", "a:1")), "a:1: the name is empty"),
        (request("S K"), "no candidate was given"),
    ],
)
def test_a_request_that_cannot_be_met_is_answered_with_why(line: str, message: str):
    found = answer(line)
    assert found["input"] is True
    assert message in str(found["error"])


@pytest.mark.slow
def test_the_process_ends_when_its_stdin_closes():
    ended = subprocess.run([sys.executable, "-m", "xas_bluesky.prediction.worker"], input=b"", capture_output=True, timeout=60)
    assert (ended.returncode, ended.stdout) == (0, b"")
