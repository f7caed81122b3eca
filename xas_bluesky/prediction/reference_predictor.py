"""Predict with the reference network, of the published kind, in place of ours."""

from collections.abc import Generator, Sequence
from dataclasses import dataclass, replace
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
from rdkit import Chem
from torch_geometric.data import Batch, Data

from xas_bluesky.candidates import Candidate
from xas_bluesky.edges import find_edge
from xas_bluesky.errors import CandidateError, ModelError
from xas_bluesky.models import hash_files
from xas_bluesky.models.message_passing import bond_graph
from xas_bluesky.models.reference_model import ReferenceModel, load_reference
from xas_bluesky.prediction.predictor import Predictor, identified
from xas_bluesky.prediction.sorting import Sorting
from xas_bluesky.prediction.structure_spectra import StructureSpectra
from xas_bluesky.spectra import Prediction
from xas_bluesky.structures import place_molecule

BATCH = 64
"""Graphs predicted at a time."""


def shipped_reference() -> Path:
    """Return the folder of the shipped reference model."""
    return Path(str(files("xas_bluesky.models") / "reference_weights"))


@dataclass(frozen=True, slots=True)
class ReferencePredictor:
    """Predict molecules from their bonds; what "none of these" may be, and the edges, are those of our model, `beside` it."""

    reference: ReferenceModel
    beside: Predictor
    model: str

    @classmethod
    def load(cls, device: str = "auto", cores: int | None = None) -> "ReferencePredictor":
        """Load the shipped reference model; arguments as for Predictor."""
        folder = shipped_reference()
        beside = Predictor.load(device=device, cores=cores)
        reference = load_reference(folder).to(beside.lanes[0][0])
        for edge, model in reference.edges.items():
            if not np.array_equal(model.energy, beside.lanes[0][1].edges[edge].population.energy):
                raise ModelError(f"{folder}: its energies at {edge} are not those of our model; train both on the same data")
        return cls(reference, beside, hash_files(folder))

    def predict(self, candidates: Sequence[Candidate], edge: str, conformers: int = 1) -> Prediction:
        """Predict as Predictor.predict; a crystal is rejected, and all molecules have the same errors.

        The published networks say nothing of single absorbers, so the ionization energies are the population's mean; nor of a
        distance from the training set, which is not a number here.
        """
        edge = self.beside.edge(edge)
        sorting = Sorting()
        graphs = list(sorting.served(candidates, _bond_graphs(candidates, find_edge(edge).absorber, conformers)))
        sorting.check()
        flat = [graph for each in graphs for graph in each]
        device = self.beside.lanes[0][0]
        joined: list[Any] = [Batch.from_data_list([*flat[start : start + BATCH]]) for start in range(0, len(flat), BATCH)]
        parts = [self.reference.predict(batch.to(device), edge) for batch in joined]
        mean, factors, rest = (np.concatenate(part) for part in zip(*parts, strict=True))
        starts = np.cumsum([0, *(len(each) for each in graphs[:-1])])
        mean = np.add.reduceat(mean, starts, axis=0) / np.array([len(each) for each in graphs])[:, None]
        factors, rest = factors[starts], rest[starts]
        population = self.beside.population(edge)
        count = len(graphs)
        known = set(self.beside.card.edges[edge].elements)
        found = StructureSpectra(
            mean=mean,
            std=np.sqrt((factors**2).sum(axis=1) + rest**2),
            factors=factors,
            ionization=np.full(count, population.ionization.mean()),
            supported=np.array([set(graph[0]["z"].tolist()) <= known for graph in graphs]),
            distance=np.full(count, np.nan),
        )
        spectra = replace(self.beside.named(edge, sorting.names, found), model=self.model)
        spectra = identified(spectra, sorting.kept)
        return Prediction(spectra, population, tuple(sorting.rejected))


def _bond_graphs(candidates: Sequence[Candidate], element: str, conformers: int) -> Generator[list[Data] | str]:
    for candidate in candidates:
        try:
            molecule = place_molecule(candidate, element, conformers=conformers)
            yield [bond_graph(Chem.Mol(molecule, confId=found.GetId())) for found in molecule.GetConformers()]
        except CandidateError as error:
            yield str(error)
