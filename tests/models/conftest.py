from collections.abc import Callable

import numpy as np
import pytest
import torch

from xas_bluesky.candidates import Candidate
from xas_bluesky.models import Ensemble, ModelCard, NetworkSettings, SpectrumGNN
from xas_bluesky.structures import AtomGraph, embed, molecular_graph, read_molecule

SETTINGS = NetworkSettings(points=5, hidden=8, gaussians=6, interactions=2, dropout=0.1)


@pytest.fixture(scope="session")
def graph() -> Callable[[str], AtomGraph]:
    """Makes the graph of a SMILES string."""
    return lambda smiles: molecular_graph(embed(read_molecule(Candidate("x", smiles), "S"), "x"), "S")


@pytest.fixture(scope="session")
def ensemble() -> Ensemble:
    torch.manual_seed(1)
    random = np.random.default_rng(1)
    return Ensemble(
        networks=tuple(SpectrumGNN(SETTINGS).eval() for _ in range(2)),
        energy=np.arange(-3.0, 2.0),
        center=random.normal(size=5).astype(np.float32).astype(np.float64),
        scale=0.1 + 0.2,
        residual=random.normal(size=(3, 5)).astype(np.float32).astype(np.float64),
        kinds=random.normal(size=(2, 5)).astype(np.float32).astype(np.float64),
        kind_factors=random.normal(size=(2, 4, 5)).astype(np.float32).astype(np.float64),
    )


@pytest.fixture(scope="session")
def card() -> ModelCard:
    return ModelCard(
        edge="S K",
        lorentzian=0.59,
        gaussian=1.0,
        settings=SETTINGS,
        networks=2,
        scale=0.1 + 0.2,
        elements=[1, 6, 16],
        environments={"S(-C)(-C)": 12, "S(-C)(-H)": 11},
        kinds=["S", "S(=O)"],
        data_hash="0123456789abcdef",
        command="by hand",
        figures={"relative_l1": 0.1 + 0.2},
    )
