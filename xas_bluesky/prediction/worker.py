"""The predictor's process: one JSON request per line on stdin, one JSON answer per line on stdout."""

import json
import sys

import torch

from xas_bluesky.candidates import Candidate
from xas_bluesky.errors import InputError, XASError
from xas_bluesky.prediction.predictor import Predictor
from xas_bluesky.wire import prediction_to_wire


def answer(line: str) -> dict[str, object]:
    """Answer one request; an error of this package is an answer too."""
    request = json.loads(line)
    try:
        candidates = [Candidate(*fields) for fields in request["candidates"]]
        prediction = Predictor.for_edge(request["edge"]).predict(candidates)
    except XASError as error:
        return {"error": str(error), "input": isinstance(error, InputError)}
    return prediction_to_wire(prediction)


def main() -> None:
    """Serve until stdin closes."""
    torch.set_num_threads(1)  # the scan, the catalog and the table run beside it
    for line in sys.stdin:
        sys.stdout.write(json.dumps(answer(line)) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
