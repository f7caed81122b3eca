"""What the live side talks to: a predictor in a process of its own, so that neither torch nor rdkit is loaded here."""

from collections.abc import Sequence
from dataclasses import astuple
from types import TracebackType
from typing import Protocol, Self

from xas_bluesky.candidates import Candidate
from xas_bluesky.child_process import ChildProcess
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
    it may use, by default one, as the scan, the catalog and the table run beside it.
    """

    def __init__(self, device: str = "auto", cores: int = 1, model: str = "shipped") -> None:
        self._process = ChildProcess("xas_bluesky.prediction.worker", device, str(cores), model)

    def predict(self, candidates: Sequence[Candidate], edge: str, conformers: int = 1) -> Prediction:
        """Predict; raises InputError for bad candidates, edges or devices, PredictionError when the process died."""
        request = {"candidates": [astuple(candidate) for candidate in candidates], "edge": edge, "conformers": conformers}
        try:
            answer = self._process.ask(request)
        except ChildProcessError as error:
            raise PredictionError(f"the predictor gave no answer ({error}); start it again") from error
        if "error" in answer:
            raise (InputError if answer["input"] else PredictionError)(answer["error"])
        return prediction_from_wire(answer)

    def close(self) -> None:
        """End the process, and those that it started; a second time does nothing."""
        self._process.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()
