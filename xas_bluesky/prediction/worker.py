"""The predictor's process: one JSON request per line on stdin, one JSON answer per line on stdout."""

import functools
import json
import sys

import torch

from xas_bluesky.candidates import Candidate
from xas_bluesky.errors import InputError, XASError
from xas_bluesky.prediction.predictor import Predictor
from xas_bluesky.wire import prediction_to_wire

_predictor = functools.cache(Predictor.for_edge)


def answer(line: str) -> dict[str, object]:
    """Answer one request; an error of this package is an answer too."""
    request = json.loads(line)
    try:
        candidates = [Candidate(*fields) for fields in request["candidates"]]
        prediction = _predictor(request["edge"]).predict(candidates)
    except Exception as error:  # whatever it is, the process goes on and the caller is told
        text = str(error) if isinstance(error, XASError) else f"{type(error).__name__}: {error}"
        return {"error": text, "input": isinstance(error, InputError)}
    return prediction_to_wire(prediction)


def main() -> None:
    """Serve until stdin closes."""
    torch.set_num_threads(1)  # the scan, the catalog and the table run beside it
    for line in sys.stdin:
        sys.stdout.write(json.dumps(answer(line)) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
