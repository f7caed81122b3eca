from collections.abc import Callable

import numpy as np
import pytest

from xas_bluesky.comparison import Hypotheses, make_hypotheses
from xas_bluesky.spectra import Absorption, Array

EDGE_ENERGY = 2472.0
SCAN = np.concatenate([np.arange(-30.0, -10.0, 2.0), np.arange(-10.0, 30.0, 0.4), np.arange(30.0, 46.0)]) + EDGE_ENERGY


@pytest.fixture
def hypotheses(laboratory) -> Hypotheses:
    prediction = laboratory.prediction
    return make_hypotheses(prediction.spectra, prediction.population, laboratory.gap)


@pytest.fixture
def measure() -> Callable[..., Absorption]:
    """Measure a sample, at every energy of a scan by default, with Gaussian noise of a standard deviation."""

    def measured(sample: Callable[[Array], Array], energy: Array = SCAN, noise: float = 0.0, seed: int = 0) -> Absorption:
        mu = sample(energy) + noise * np.random.default_rng(seed).standard_normal(len(energy))
        return Absorption(energy, mu, np.full(len(energy), noise**2 + 1e-12))

    return measured
