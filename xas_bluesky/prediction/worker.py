"""The predictor's process: one JSON request per line on stdin, one JSON answer per line on stdout."""

import functools
import json
import sys
from pathlib import Path
from typing import Any

import torch

from xas_bluesky.candidates import Candidate
from xas_bluesky.errors import InputError, SettingsError, XASError
from xas_bluesky.prediction.predictor import Predictor
from xas_bluesky.wire import prediction_to_wire

SHIPPED, REFERENCE = "shipped", "reference"
"""Words in the place of a model's folder."""


@functools.cache
def _predictor(device: str, cores: int, model: str) -> Any:
    if model == REFERENCE:
        from xas_bluesky.prediction.reference_predictor import ReferencePredictor  # torch-geometric takes seconds to import

        return ReferencePredictor.load(device, cores)
    return Predictor.load(None if model == SHIPPED else Path(model), device, cores)


def answer(line: str, device: str = "auto", cores: int = 1, model: str = SHIPPED) -> dict[str, object]:
    """Answer one request with a model on `device`; an error of this package is an answer too."""
    request = json.loads(line)
    try:
        candidates = [Candidate(*fields) for fields in request["candidates"]]
        conformers = request.get("conformers", 1)
        if conformers < 1:
            raise SettingsError(f"{conformers} conformers: expected at least one")
        prediction = _predictor(device, cores, model).predict(candidates, request["edge"], conformers)
    except Exception as error:  # whatever it is, the process goes on and the caller is told
        text = str(error) if isinstance(error, XASError) else f"{type(error).__name__}: {error}"
        return {"error": text, "input": isinstance(error, InputError)}
    return prediction_to_wire(prediction)


def main(device: str, cores: int, model: str) -> None:
    """Serve until stdin closes."""
    torch.set_num_threads(1)  # batches share the cores, not each operation
    for line in sys.stdin:
        sys.stdout.write(json.dumps(answer(line, device, cores, model)) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), sys.argv[3])
