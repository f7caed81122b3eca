"""The data sets in the repository: what is promised of them holds for every molecule."""

from pathlib import Path

import numpy as np
import pytest
import xraydb

from xas_bluesky.structures import split
from xas_bluesky.theory import ELEMENTS, calibrated, read_dataset

FILES = sorted((Path(__file__).parents[1] / "datasets" / "core_excitations").glob("*.parquet"))


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_a_data_set_keeps_its_promises(path: Path) -> None:
    dataset = read_dataset(path)
    assert len(dataset) > 50
    assert {split(smiles) for smiles in dataset.smiles.tolist()} == {"train", "test"}  # and so none is blind
    assert len(set(dataset.name.tolist())) == len(set(dataset.smiles.tolist())) == len(dataset)
    assert dataset.provenance["licence"] == "CC0"
    assert {"excitations", "geometry", "edges", "pyscf"} <= set(dataset.provenance)
    for element in ELEMENTS:
        sites, energy, ionization = calibrated(dataset, element)
        if not len(sites):
            continue
        edge = xraydb.xray_edge(element, "K").energy
        first = np.cumsum(dataset.site_sticks[sites]) - dataset.site_sticks[sites]
        assert (np.abs(ionization - edge) < 25).all()
        assert ((energy[first] < ionization) & (energy[first] > ionization - 15)).all()
        assert (dataset.strength >= 0).all()


def test_there_are_data_sets() -> None:
    assert {path.stem for path in FILES} >= {"qm9", "sulfur", "sulfur_k_tddft"}
