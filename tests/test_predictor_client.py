import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import fields
from typing import Any

import numpy as np
import pytest

from xas_bluesky.candidates import Candidate
from xas_bluesky.errors import InputError, PredictionError
from xas_bluesky.prediction import Predictor
from xas_bluesky.predictor_client import LocalPredictor
from xas_bluesky.spectra import PredictedSpectra, Prediction
from xas_bluesky.structures.building import FEW

pytestmark = pytest.mark.slow  # a process of its own loads torch: seconds each

CANDIDATES = [
    Candidate("cysteine", "N[C@@H](CS)C(=O)O", "list.csv:2"),
    Candidate("β", "CSSC", "list.csv:3"),
    Candidate("ethanol", "CCO", "list.csv:4"),
]


@pytest.fixture(scope="module")
def client() -> Iterator[LocalPredictor]:
    with LocalPredictor() as client:
        yield client


def pid(client: LocalPredictor) -> int:
    return client._process.pid  # pyright: ignore[reportPrivateUsage]


def test_a_prediction_is_that_of_this_process(client: LocalPredictor):
    found = client.predict(CANDIDATES, "S K", conformers=2)
    expected = Predictor.load().predict(CANDIDATES, "S K", conformers=2)
    assert found.rejected == expected.rejected
    assert found.rejected[0].startswith("list.csv:4: candidate 'ethanol'")
    for part in ("spectra", "population"):
        one, other = getattr(found, part), getattr(expected, part)
        for field in fields(PredictedSpectra):
            got, sent = getattr(one, field.name), getattr(other, field.name)
            same = np.allclose(got, sent, atol=1e-5) if isinstance(sent, np.ndarray) else got == sent
            assert same, field.name


def test_bad_input_is_an_input_error_and_the_process_goes_on(client: LocalPredictor):
    with pytest.raises(InputError, match=r"^edge 'Fe K': no model covers it; the model covers .*'S K'"):
        client.predict(CANDIDATES, "Fe K")
    with pytest.raises(InputError, match=r"^list\.csv:4: candidate 'ethanol': 'CCO' holds no S"):
        client.predict(CANDIDATES[2:], "S K")
    with pytest.raises(InputError, match="no candidate was given"):
        client.predict([], "S K")
    with pytest.raises(InputError, match="0 conformers: expected at least one"):
        client.predict(CANDIDATES, "S K", conformers=0)
    assert len(client.predict(CANDIDATES[:1], "S K").spectra) == 1


def test_a_device_that_is_none_is_an_input_error_each_time():
    with LocalPredictor("cuda:99") as client:
        for _ in range(2):
            with pytest.raises(InputError, match=r"^device 'cuda:99': .*give auto or cpu"):
                client.predict(CANDIDATES, "S K")


def test_threads_get_their_own_answers(client: LocalPredictor):
    answers: dict[str, Prediction] = {}

    def ask(candidate: Candidate) -> None:
        answers[candidate.name] = client.predict([candidate], "S K")

    threads = [threading.Thread(target=ask, args=(candidate,)) for candidate in CANDIDATES[:2] * 2]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {name: answer.spectra.candidate for name, answer in answers.items()} == {"cysteine": ("cysteine",), "β": ("β",)}


def test_ctrl_c_at_the_terminal_does_not_reach_the_process(client: LocalPredictor):
    assert os.getsid(pid(client)) != os.getsid(0)


def test_a_process_that_was_killed_is_a_prediction_error():
    with LocalPredictor() as client:
        os.kill(pid(client), signal.SIGKILL)
        for _ in range(2):
            with pytest.raises(PredictionError, match=r"the predictor gave no answer \(it said nothing\); start it again"):
                client.predict(CANDIDATES, "S K")


def test_an_unforeseen_error_is_passed_on_and_the_process_goes_on():
    nothing: Any = None
    with LocalPredictor() as client:
        with pytest.raises(PredictionError, match=r"^AttributeError: "):
            client.predict(CANDIDATES, nothing)
        assert client.predict(CANDIDATES, "S K").spectra.candidate


def test_files_of_the_working_folder_are_not_imported(tmp_path, monkeypatch):
    (tmp_path / "safetensors.py").write_text("raise RuntimeError('foreign code')")
    monkeypatch.chdir(tmp_path)
    with LocalPredictor() as client:
        assert client.predict(CANDIDATES, "S K").spectra.candidate


def test_close_leaves_no_process_and_may_be_called_twice():
    client = LocalPredictor()
    client.close()
    with pytest.raises(ProcessLookupError):
        os.kill(pid(client), 0)
    client.close()
    with pytest.raises(PredictionError, match="it is closed"):
        client.predict(CANDIDATES, "S K")


def test_close_ends_the_processes_that_make_many_graphs_too(tmp_path, monkeypatch):
    for package in ("joblib", "numpy", "rdkit"):
        (tmp_path / f"{package}.py").write_text("raise RuntimeError('foreign code')")
    monkeypatch.chdir(tmp_path)
    many = [Candidate(f"c{n}", "C" * (1 + n % 7) + "S") for n in range(FEW + 1)]
    with LocalPredictor("cpu") as client:
        assert len(client.predict(many, "S K").spectra) == len(many)
        before = time.monotonic()
    assert time.monotonic() - before < 60  # on their own they end after minutes without work, and hold the pipes until then


def test_an_error_in_the_with_block_leaves_no_process():
    with pytest.raises(KeyError), LocalPredictor() as client:
        raise KeyError
    with pytest.raises(ProcessLookupError):
        os.kill(pid(client), 0)


def test_the_client_loads_neither_torch_nor_rdkit():
    check = "import sys, xas_bluesky.predictor_client; print({'torch', 'torch_geometric', 'rdkit'} & set(sys.modules))"
    assert subprocess.run([sys.executable, "-c", check], capture_output=True, text=True, check=True).stdout == "set()\n"
