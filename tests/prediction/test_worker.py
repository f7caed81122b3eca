import json
import subprocess
import sys
from dataclasses import astuple

import numpy as np
import pytest

from xas_bluesky.candidates import Candidate
from xas_bluesky.prediction import Predictor
from xas_bluesky.prediction.worker import answer
from xas_bluesky.spectra import Prediction
from xas_bluesky.wire import prediction_from_wire

XYZ = "3\n\nS 0 0 0.1\nH 0 0.96 -0.83\nH 0 -0.96 -0.83\n"


def request(edge: str, *candidates: tuple[str, ...], **more: object) -> str:
    return json.dumps({"edge": edge, "candidates": candidates, **more})


def answered(line: str) -> Prediction:
    return prediction_from_wire(json.loads(json.dumps(answer(line, "cpu"))))


def test_a_request_is_answered_with_the_prediction(predictor: Predictor):
    asked = [Candidate("thiol", "CCS", "a:1"), Candidate("bad", "C1", "a:2"), Candidate("sulfane", XYZ, "a:3", "xyz")]
    found = answered(request("S K", *map(astuple, asked)))
    expected = predictor.predict(asked, "S K")
    assert found.spectra.candidate == ("thiol", "sulfane")
    for name in ("mean", "std", "distance", "ionization"):
        assert np.array_equal(getattr(found.spectra, name), getattr(expected.spectra, name)), name
    assert found.rejected == expected.rejected
    assert found.spectra.formula == ("C2H6S", "H2S")
    assert found.spectra.inchikey[0] == "DNJIEGIFACGWOD-UHFFFAOYSA-N"


def test_conformers_are_averaged_over(predictor: Predictor):
    asked = ("thiol", "CCCCS", "a:1")
    one, four = answered(request("S K", asked)), answered(request("S K", asked, conformers=4))
    assert np.array_equal(four.spectra.mean, predictor.predict([Candidate(*asked)], "S K", 4).spectra.mean)
    assert not np.allclose(four.spectra.mean, one.spectra.mean, rtol=1e-6)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (request("Fe K", ("a", "CS", "")), "no model covers it"),
        (request("S K", ("a", "CCO", "a:1")), "a:1: candidate 'a': 'CCO' holds no S"),
        (request("S K", ("", "CS", "a:1")), "a:1: the name is empty"),
        (request("S K"), "no candidate was given"),
        (request("S K", ("a", "CS", ""), conformers=0), "0 conformers: expected at least one"),
    ],
)
def test_a_request_that_cannot_be_met_is_answered_with_why(line: str, message: str):
    found = answer(line, "cpu")
    assert found["input"] is True
    assert message in str(found["error"])


@pytest.mark.parametrize(
    ("device", "said"),
    [
        ("", "expected auto, cpu, cuda, or GPUs by number, as in cuda:0,1"),
        ("gpu", "expected auto, cpu, cuda, or GPUs by number, as in cuda:0,1"),
        ("cuda:99", "; give auto or cpu, or the number of"),
    ],
)
def test_a_device_that_is_none_is_the_answer_to_every_request(device: str, said: str):
    for _ in range(2):
        found = answer(request("S K", ("a", "CS", "")), device)
        assert found["input"] is True
        assert str(found["error"]).startswith(f"device {device!r}: ")
        assert said in str(found["error"])


@pytest.mark.slow
def test_the_process_ends_when_its_stdin_closes():
    command = [sys.executable, "-m", "xas_bluesky.prediction.worker", "auto", "1", "shipped"]
    ended = subprocess.run(command, input=b"", capture_output=True, timeout=60)
    assert (ended.returncode, ended.stdout) == (0, b"")
