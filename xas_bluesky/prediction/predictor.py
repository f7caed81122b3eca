"""Predict the spectra of candidates, with their uncertainty."""

from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from importlib.resources import files
from itertools import cycle
from pathlib import Path

import joblib
import torch

from xas_bluesky.candidates import Candidate
from xas_bluesky.edges import find_edge
from xas_bluesky.errors import EdgeError
from xas_bluesky.models import Ensemble, ModelCard, by_atoms, hash_files, load
from xas_bluesky.prediction.devices import find_devices
from xas_bluesky.prediction.sorting import Sorting
from xas_bluesky.prediction.structure_spectra import StructureSpectra, population_spectra, structure_spectra
from xas_bluesky.spectra import PredictedSpectra, Prediction
from xas_bluesky.structures import AtomGraph, identify, make_graphs

BATCH_ATOMS = {"cpu": 300, "cuda": 20_000}
"""Atoms at a time: on a CPU as many as its cache holds the messages of, on a GPU as many as keep it busy."""
UNLIKE = "unlike anything in the training set"


def shipped_model() -> Path:
    """Return the folder of the shipped model."""
    return Path(str(files("xas_bluesky.models") / "weights"))


@dataclass(frozen=True, slots=True)
class Predictor:
    """Predict with one loaded model.

    `lanes`: devices that work at the same time, each with networks of its own, or the CPU once per core that is used; `cores`:
    how many these are, and make graphs.
    """

    lanes: tuple[tuple[torch.device, Ensemble], ...]
    cores: int
    card: ModelCard
    model: str

    @classmethod
    def load(cls, folder: Path | None = None, device: str = "auto", cores: int | None = None) -> "Predictor":
        """Load a model.

        `folder`: by default that of the shipped one; `device`: as `find_devices` reads it; `cores`: by default all.
        """
        folder, cores = folder or shipped_model(), cores or joblib.cpu_count()
        devices = find_devices(device)
        loaded = [load(folder) for _ in devices]
        lanes = tuple((place, ensemble.to(place)) for place, (ensemble, _) in zip(devices, loaded, strict=True))
        # one batch per core at a time, as the networks' operations are too small to share between cores
        return cls(lanes * cores if devices[0].type == "cpu" else lanes, cores, loaded[0][1], hash_files(folder))

    def edge(self, name: str) -> str:
        """Return the name by which the model knows an edge; raises EdgeError when it does not cover it."""
        edge = str(find_edge(name))
        if edge not in self.card.edges:
            covered = ", ".join(map(repr, self.card.edges))
            raise EdgeError(f"edge {name!r}: no model covers it; the model covers {covered}")
        return edge

    def predict(self, candidates: Sequence[Candidate], edge: str, conformers: int = 1) -> Prediction:
        """Predict the candidates that can be; say of the others why not.

        `conformers`: geometries of a molecule without positions, whose spectra are averaged. Raises EdgeError as `edge`, and
        CandidateError when no candidate is left or two that can be predicted have one name.
        """
        edge = self.edge(edge)
        sorting = Sorting()
        made = make_graphs(candidates, find_edge(edge).absorber, conformers, self.cores)
        parts = self.parts(sorting.served(candidates, made), edge)
        sorting.check()
        spectra = self.named(edge, sorting.names, StructureSpectra.join(parts))
        spectra = identified(spectra, sorting.kept)
        return Prediction(spectra, self.population(edge), tuple(sorting.rejected))

    def parts(self, structures: Iterable[list[AtomGraph]], edge: str) -> list[StructureSpectra]:
        """Predict structures, each of one graph or more to be averaged over, in batches; in order."""
        elements = self.card.edges[edge].elements
        with ThreadPoolExecutor(len(self.lanes)) as pool:
            batches = zip(by_atoms(structures, BATCH_ATOMS[self.lanes[0][0].type]), cycle(self.lanes), strict=False)
            waiting = [
                pool.submit(structure_spectra, ensemble, batch, edge, elements, device)
                for batch, (device, ensemble) in batches
            ]
            return [part.result() for part in waiting]

    def population(self, edge: str) -> PredictedSpectra:
        """Return the kinds of spectra that a sample on no list may have: each kind in the training set, and one unlike all."""
        kinds = [f"like {name}" for name in self.card.edges[edge].kinds]
        return self.named(edge, [*kinds, UNLIKE], population_spectra(self.lanes[0][1].edges[edge]))

    def named(self, edge: str, names: Sequence[str], found: StructureSpectra) -> PredictedSpectra:
        """Name the spectra of structures."""
        return PredictedSpectra(
            edge=edge,
            candidate=tuple(names),
            energy=self.lanes[0][1].edges[edge].population.energy,
            mean=found.mean,
            std=found.std,
            factors=found.factors,
            ionization=found.ionization,
            supported=found.supported,
            distance=found.distance,
            model=self.model,
        )


def identified(spectra: PredictedSpectra, candidates: Sequence[Candidate]) -> PredictedSpectra:
    """Say of spectra what their structures are."""
    inchikey, formula = zip(*identify(candidates), strict=True)
    return replace(spectra, inchikey=inchikey, formula=formula)
