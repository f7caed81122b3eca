import json
from dataclasses import fields

import numpy as np
import pytest

from xas_bluesky.spectra import PredictedSpectra, Prediction
from xas_bluesky.wire import prediction_from_wire, prediction_to_wire


def spectra(names: tuple[str, ...], seed: int) -> PredictedSpectra:
    random = np.random.default_rng(seed)
    count, points = len(names), 6
    mean = random.normal(size=(count, points)) * 10.0 ** random.integers(-300, 300, size=(count, points))
    mean[0, :3] = [0.1, 1 / 3, -0.0]
    return PredictedSpectra(
        edge="S K",
        candidate=names,
        energy=2470 + 0.1 * np.arange(points),
        mean=mean,
        std=random.random((count, points)),
        factors=random.normal(size=(count, 4, points)),
        ionization=random.random(count),
        supported=random.random(count) > 0.5,
        distance=random.random(count),
        model="0123456789abcdef",
        source=("theory", *("model",) * (count - 1)),
    )


@pytest.fixture
def prediction() -> Prediction:
    rejected = ('list.csv:3: candidate "β":\nno', "list.csv:4: …")
    return Prediction(spectra(("cysteine", 'a "b"\n', "β-S"), 1), spectra(("S(-C)(-H)",), 2), rejected)


def test_the_way_there_and_back_changes_nothing(prediction: Prediction):
    text = json.dumps(prediction_to_wire(prediction))
    found = prediction_from_wire(json.loads(text))
    assert found.rejected == prediction.rejected
    for one, other in ((found.spectra, prediction.spectra), (found.population, prediction.population)):
        for field in fields(PredictedSpectra):
            got, sent = getattr(one, field.name), getattr(other, field.name)
            if isinstance(sent, np.ndarray):
                assert got.dtype == sent.dtype, field.name
                assert got.tobytes() == sent.tobytes(), field.name
            else:
                assert got == sent, field.name


def test_a_message_is_one_line_of_json(prediction: Prediction):
    text = json.dumps(prediction_to_wire(prediction), allow_nan=False)
    assert "\n" not in text
    assert text.isascii()


def test_a_message_holds_plain_values_only(prediction: Prediction):
    def check(value: object) -> None:
        assert type(value) in (dict, list, str, int), type(value)
        for inner in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
            check(inner)

    check(prediction_to_wire(prediction))
