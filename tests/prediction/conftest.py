import pytest

from xas_bluesky.prediction import Predictor


@pytest.fixture(scope="session")
def predictor() -> Predictor:
    """The shipped model."""
    return Predictor.load(device="cpu")
