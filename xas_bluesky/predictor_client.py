"""What the live side talks to: a predictor in a process of its own, so that neither torch nor rdkit is loaded here."""

import json
import os
import subprocess
import sys
import tempfile
import threading
from collections.abc import Sequence
from dataclasses import astuple
from types import TracebackType
from typing import Protocol, Self

from xas_bluesky.candidates import Candidate
from xas_bluesky.errors import InputError, PredictionError
from xas_bluesky.spectra import Prediction
from xas_bluesky.wire import prediction_from_wire


class PredictorClient(Protocol):
    """Predict from the live side, wherever the model runs."""

    def predict(self, candidates: Sequence[Candidate], edge: str) -> Prediction:
        """Return the spectra of the candidates that could be predicted, and why not of the others."""
        ...

    def close(self) -> None:
        """Let the predictor go."""
        ...


class LocalPredictor:
    """Run the predictor as a child process; use it in a `with`, so that the process ends.

    The process starts at once and loads while the caller goes on. It has a session of its own: Ctrl-C at the terminal
    pauses the plan and must not end the predictor. It ends with its stdin when the caller dies.
    """

    def __init__(self) -> None:
        self._log = tempfile.TemporaryFile("w+", encoding="utf-8")  # noqa: SIM115 a pipe that nobody reads would fill up
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-m", "xas_bluesky.prediction.worker"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log,
            text=True,
            start_new_session=True,
            env={**os.environ, "PYTHONWARNINGS": "ignore"},
        )
        self._one_at_a_time = threading.Lock()

    def predict(self, candidates: Sequence[Candidate], edge: str) -> Prediction:
        """Predict; raises InputError for bad candidates or edges, PredictionError when the process died."""
        request = {"edge": edge, "candidates": [astuple(candidate) for candidate in candidates]}
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
        """End the process; a second time does nothing."""
        if self._log.closed:
            return
        self._process.terminate()
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
