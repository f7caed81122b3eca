"""Predict the spectra of candidates, with their uncertainty."""

from collections.abc import Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

import numpy as np

from xas_bluesky.candidates import Candidate
from xas_bluesky.edges import find_edge
from xas_bluesky.errors import CandidateError, EdgeError
from xas_bluesky.models import Ensemble, ModelCard, hash_files, load
from xas_bluesky.models.continuum import S_1S_IONIZATION, ionization_energy, with_continuum
from xas_bluesky.models.ensemble import by_molecule
from xas_bluesky.spectra import Array, PredictedSpectra, Prediction
from xas_bluesky.structures import AtomGraph, describe, embed, molecular_graph, read_molecule

SUPPORT = 5
"""An absorber environment with fewer training sites than this is outside what the model knows; so is a new element."""
STEP = 0.2
"""Energy step of the predictions, eV."""
UNSUPPORTED_SHIFT = 0.8
UNSUPPORTED_STRENGTH = 0.2
"""How far peaks may lie (eV) and differ in strength (relative) in an environment that training did not hold.

Networks trained without the sulfones, or without the sulfoxides, erred so on them; see docs/models.md.
"""
UNLIKE_SD = 1.5
UNLIKE_LENGTH = 1.2
"""Size (edge jumps) and correlation length (eV) of a spectrum that is like none of the training set."""
UNLIKE = "unlike anything in the training set"


def shipped_models() -> dict[str, Path]:
    """Return the folder of each shipped model by its edge."""
    folder = Path(str(files("xas_bluesky.models") / "weights"))
    return {path.name.replace("_", " "): path for path in sorted(folder.iterdir()) if path.is_dir()}


@dataclass(frozen=True, slots=True)
class Predictor:
    """Predict with one loaded model."""

    ensemble: Ensemble
    card: ModelCard
    model: str

    @classmethod
    def for_edge(cls, edge: str) -> "Predictor":
        """Load the shipped model of an edge; raises EdgeError when there is none."""
        name, shipped = str(find_edge(edge)), shipped_models()
        if name not in shipped:
            raise EdgeError(f"edge {edge!r}: no model covers it; the models cover {', '.join(map(repr, shipped))}")
        return cls.from_folder(shipped[name])

    @classmethod
    def from_folder(cls, folder: Path) -> "Predictor":
        """Load the model in a folder."""
        ensemble, card = load(folder)
        return cls(ensemble, card, hash_files(folder))

    def predict(self, candidates: Sequence[Candidate]) -> Prediction:
        """Predict the candidates that can be; say of the others why not.

        Raises CandidateError when none is left, and when two that can be have one name.
        """
        absorber = find_edge(self.card.edge).absorber
        served: list[str] = []
        graphs: list[AtomGraph] = []
        rejected: list[str] = []
        for candidate in candidates:
            if candidate.name in served:
                raise CandidateError(f"{describe(candidate)}: another candidate has this name; make names unique")
            try:
                molecule = read_molecule(candidate, absorber)
                if not molecule.GetNumConformers():
                    molecule = embed(molecule, describe(candidate))
            except CandidateError as error:
                rejected.append(str(error))
            else:
                served.append(candidate.name)
                graphs.append(molecular_graph(molecule, absorber))
        if not graphs:
            raise CandidateError("; ".join(rejected) or "no candidate was given; name at least one structure")
        return Prediction(self._spectra(served, graphs), self.population(), tuple(rejected))

    def _spectra(self, names: Sequence[str], graphs: Sequence[AtomGraph]) -> PredictedSpectra:
        ensemble = self.ensemble
        sites = ensemble.predict(graphs)
        environments = [name for graph in graphs for name in graph.environments]
        ionization = np.array([ionization_energy(name, self.card.edge) for name in environments])
        supported = np.array([self._supported(graph, name) for graph in graphs for name in graph.environments])
        means, factors = [], []
        for site, zero in enumerate(ionization):
            center = sites[:, site].mean(axis=0)
            spread = (sites[:, site] - center) / np.sqrt(len(sites) - 1)
            wide = np.stack([UNSUPPORTED_SHIFT * np.gradient(center, ensemble.energy), UNSUPPORTED_STRENGTH * center])
            errors = np.concatenate([spread, ensemble.residual, wide * (not supported[site])])
            means.append(self._complete(center, zero))
            factors.append(self._errors(errors, zero))
        rows = by_molecule(graphs)
        return self._assemble(
            names,
            np.array([np.mean([means[site] for site in of], axis=0) for of in rows]),
            np.array([np.mean([factors[site] for site in of], axis=0) for of in rows]),
            np.array([ionization[of].mean() for of in rows]),
            np.array([bool(supported[of].all()) for of in rows]),
        )

    def _supported(self, graph: AtomGraph, environment: str) -> bool:
        known = set(graph.numbers.tolist()) <= set(self.card.elements)
        return known and self.card.environments.get(environment, 0) >= SUPPORT

    def population(self) -> PredictedSpectra:
        """Return the kinds of spectra that a sample on no list may have: each known kind of absorber, and one unlike all."""
        kinds = self.ensemble.kinds
        ionization = np.array([ionization_energy(name, self.card.edge) for name in self.card.kinds])
        means = [self._complete(kind, zero) for kind, zero in zip(kinds, ionization, strict=True)]
        factors = [self._errors(spread, zero) for spread, zero in zip(self.ensemble.kind_factors, ionization, strict=True)]
        energy = self.energy
        nodes = np.arange(energy[0], energy[-1] + UNLIKE_LENGTH, UNLIKE_LENGTH)
        bumps = np.exp(-0.5 * ((energy - nodes[:, None]) / UNLIKE_LENGTH) ** 2)
        rows = max(len(bumps), factors[0].shape[0])
        padded = [np.pad(factor, ((0, rows - len(factor)), (0, 0))) for factor in [*factors, UNLIKE_SD * bumps]]
        return self._assemble(
            [*self.card.kinds, UNLIKE],
            np.array([*means, np.mean(means, axis=0)]),
            np.array(padded),
            np.append(ionization, ionization.mean()),
            np.append(np.ones(len(kinds), dtype=bool), False),
        )

    @property
    def energy(self) -> Array:
        """Return the energies (m,) eV of the predictions: the network's, from the lowest to the highest ionization."""
        low, high = S_1S_IONIZATION[0] + self.ensemble.energy[0], S_1S_IONIZATION[-1] + self.ensemble.energy[-1]
        return np.round(np.arange(low, high + STEP / 2, STEP), 3)

    def _complete(self, sticks: Array, ionization: float) -> Array:
        relative = self.energy - ionization
        return with_continuum(np.interp(relative, self.ensemble.energy, sticks, left=0.0, right=0.0), relative)

    def _errors(self, factors: Array, ionization: float) -> Array:
        relative = self.energy - ionization
        moved = [np.interp(relative, self.ensemble.energy, factor, left=0.0, right=0.0) for factor in factors]
        return np.array(moved)

    def _assemble(
        self, names: Sequence[str], mean: Array, factors: Array, ionization: Array, supported: np.ndarray
    ) -> PredictedSpectra:
        return PredictedSpectra(
            edge=self.card.edge,
            candidate=tuple(names),
            energy=self.energy,
            mean=mean,
            std=np.sqrt((factors**2).sum(axis=1)),
            factors=factors,
            ionization=ionization,
            supported=supported,
            model=self.model,
        )
