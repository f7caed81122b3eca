from collections.abc import Callable

import numpy as np
import pytest
import torch

from xas_bluesky.candidates import Candidate
from xas_bluesky.models import (
    EdgeCard,
    EdgeModel,
    Ensemble,
    ErrorModel,
    ModelCard,
    NetworkSettings,
    Population,
    Scaling,
    SpectrumGNN,
)
from xas_bluesky.spectra import Array
from xas_bluesky.structures import AtomGraph, build_graphs

torch.set_num_threads(1)  # pytest runs on every core already

SETTINGS = NetworkSettings(points={"S K": 5, "O K": 6}, width=8, radial=6, rounds=2, trunk=10)


@pytest.fixture(scope="session")
def graph() -> Callable[..., AtomGraph]:
    """Makes the graph of a SMILES string, its sulfur (or other elements) absorbing."""
    return lambda smiles, *elements: build_graphs(Candidate("x", smiles), *(elements or ("S",)))[0]


def edge_model(points: int, random: np.random.Generator) -> EdgeModel:
    def draw(*shape: int) -> Array:
        return random.normal(size=shape)

    energy = np.linspace(-3.0, 2.0, points)
    scaling = Scaling(energy, draw(points), 0.1 + 0.2, 2478.0, 1.1)
    errors = ErrorModel(
        projection=draw(10, 3),
        known=draw(20, 3),
        far=4.0,
        size=np.array([-2.0, 0.2, 0.3, 0.1]),
        share=0.4,
        residual=draw(2, points),
        rest=np.abs(draw(points)),
        together=0.5,
    )
    grid = np.arange(2474.0, 2482.0, scaling.step)
    return EdgeModel(scaling, errors, Population(grid, draw(2, len(grid)), draw(2, 3, len(grid)), np.array([2477.0, 2479.0])))


@pytest.fixture(scope="session")
def ensemble() -> Ensemble:
    torch.manual_seed(1)
    random = np.random.default_rng(1)
    networks = tuple(SpectrumGNN(SETTINGS).eval() for _ in range(2))
    return Ensemble(networks, {edge: edge_model(points, random) for edge, points in SETTINGS.points.items()})


@pytest.fixture(scope="session")
def card() -> ModelCard:
    edge = EdgeCard(lorentzian=0.59, gaussian=1.0, elements=[1, 6, 16], structures=23, sites=24, kinds=["CS", "CS(C)=O"])
    return ModelCard(
        settings=SETTINGS,
        networks=2,
        edges={"S K": edge, "O K": edge},
        data={"sulfur.parquet": "0123456789abcdef"},
        command="by hand",
        figures={"S K test": {"relative_l1": 0.1 + 0.2}},
    )
