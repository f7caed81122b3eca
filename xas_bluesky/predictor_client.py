"""What the live side talks to: a predictor in a process of its own, so that neither torch nor rdkit is loaded here."""

import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import astuple
from types import TracebackType
from typing import Protocol, Self

from xas_bluesky.candidates import Candidate
from xas_bluesky.errors import InputError, PredictionError
from xas_bluesky.spectra import Prediction
from xas_bluesky.wire import prediction_from_wire


class PredictorClient(Protocol):
    """Predict from the live side, wherever the model runs."""

    def predict(self, candidates: Sequence[Candidate], edge: str, conformers: int = 1) -> Prediction:
        """Return the spectra of the candidates that could be predicted, and why not of the others.

        `conformers`: geometries of a molecule without positions, whose spectra are averaged.
        """
        ...

    def close(self) -> None:
        """Let the predictor go."""
        ...


class LocalPredictor:
    """Run the predictor as a child process; use it in a `with`, so that the process ends.

    `device`: auto (every GPU, or else the CPU), cpu, cuda, or GPUs by number, as in cuda:0,1; `model`: a folder that `train`
    wrote, or the words shipped and reference. What is wrong with these is the answer to the first request. `cores`: how many
    it may use, by default one, as the scan, the catalog and the table run beside it. The process starts at once and imports
    what it needs while the caller goes on. It has a session of its own: Ctrl-C at the terminal pauses the plan and must not
    end the predictor. It ends with its stdin when the caller dies.
    """

    def __init__(self, device: str = "auto", cores: int = 1, model: str = "shipped") -> None:
        self._log = tempfile.TemporaryFile("w+", encoding="utf-8")  # noqa: SIM115 a pipe that nobody reads would fill up
        self._process = subprocess.Popen(  # noqa: S603 no shell reads the device
            [sys.executable, "-m", "xas_bluesky.prediction.worker", device, str(cores), model],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log,
            text=True,
            start_new_session=True,
            # what lies in the working folder is not imported, nor is it by the processes that this one starts
            env={**os.environ, "PYTHONWARNINGS": "ignore", "PYTHONSAFEPATH": "1"},
        )
        self._one_at_a_time = threading.Lock()

    def predict(self, candidates: Sequence[Candidate], edge: str, conformers: int = 1) -> Prediction:
        """Predict; raises InputError for bad candidates, edges or devices, PredictionError when the process died."""
        request = {
            "candidates": [astuple(candidate) for candidate in candidates],
            "edge": edge,
            "conformers": conformers,
        }
        assert self._process.stdin is not None  # noqa: S101
        assert self._process.stdout is not None  # noqa: S101
        with self._one_at_a_time:
            try:
                self._process.stdin.write(json.dumps(request) + "\n")
                self._process.stdin.flush()
                answer = json.loads(self._process.stdout.readline())
            except (OSError, ValueError) as error:
                raise PredictionError(f"the predictor gave no answer ({self._last_words()}); start it again") from error
        if "error" in answer:
            raise (InputError if answer["input"] else PredictionError)(answer["error"])
        return prediction_from_wire(answer)

    def close(self) -> None:
        """End the process, and those that it started; a second time does nothing."""
        if self._log.closed:
            return
        with suppress(OSError):  # none is left
            os.killpg(self._process.pid, signal.SIGTERM)  # its session's group: all of them hold its pipes open
        self._process.communicate()
        self._log.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def _last_words(self) -> str:
        if self._log.closed:
            return "it is closed"
        self._log.seek(0)
        lines = self._log.read().strip().splitlines()
        return lines[-1] if lines else "it said nothing"
