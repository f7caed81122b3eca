"""From the networks' answers for sites to the spectra of structures, with their errors."""

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from typing import Any, Self

import numpy as np
import torch
from numpy.typing import NDArray

from xas_bluesky.models import EdgeModel, Ensemble, Sites, collate
from xas_bluesky.spectra import Array
from xas_bluesky.structures import AtomGraph

UNSUPPORTED_SHIFT = 1.0
UNSUPPORTED_STRENGTH = 0.3
"""How far peaks may lie (eV) and differ in strength (relative) where the structure is unlike the training set.

Networks trained without the sulfones, or without the sulfoxides, erred so on them; see docs/models.md.
"""

UNLIKE_SPREAD = 3.0
UNLIKE_LENGTH = 1.2
"""Size of a spectrum that is like none of the training set, in its standard deviations, and correlation length (eV)."""


@dataclass(frozen=True, slots=True)
class StructureSpectra:
    """Hold the spectra of n structures at one edge; the fields are PredictedSpectra's."""

    mean: Array
    std: Array
    factors: Array
    ionization: Array
    supported: NDArray[np.bool_]
    distance: Array

    @classmethod
    def join(cls, parts: Sequence[Self]) -> Self:
        """Join spectra of several batches."""
        arrays: dict[str, Any] = {
            field.name: np.concatenate([getattr(part, field.name) for part in parts]) for field in fields(cls)
        }
        return cls(**arrays)


def structure_spectra(
    ensemble: Ensemble, structures: Sequence[list[AtomGraph]], edge: str, elements: Sequence[int], device: torch.device
) -> StructureSpectra:
    """Predict structures, each the mean over the absorbers of its graphs, all of which absorb at `edge`.

    `elements`: atomic numbers in the training set; a structure with another, or far from all of the set, is not supported.
    """
    graphs = [graph for structure in structures for graph in structure]
    sites, distance = ensemble.sites(collate(graphs).to(device), edge)
    count = np.array([sum(len(graph.absorbers) for graph in structure) for structure in structures])
    geometries = np.array([len(structure) for structure in structures])
    found = average_sites(ensemble.edges[edge], sites, distance, count, geometries)
    known = np.array([np.isin(structure[0].numbers, elements).all() for structure in structures])
    supported = known & found.supported
    unlike = _unsupported(found.mean, ensemble.edges[edge].population.energy) * ~supported[:, None, None]
    return replace(
        found,
        supported=supported,
        factors=np.concatenate([found.factors, unlike], axis=1),
        std=np.sqrt(found.std**2 + (unlike**2).sum(axis=1)),
    )


def average_sites(
    model: EdgeModel, sites: Sites, distance: Array, count: NDArray[np.int64], geometries: NDArray[np.int64] | int = 1
) -> StructureSpectra:
    """Average sites, structure by structure, on the energies of the model.

    `count` (n,): sites per structure, in all its geometries together; `geometries` (n,) of it.
    """
    starts = np.cumsum(count) - count

    def average(values: Array) -> Array:
        return np.add.reduceat(values, starts, axis=0) / count.reshape(-1, *(1,) * (values.ndim - 1))

    scaling, errors, grid = model.scaling, model.errors, model.population.energy
    absorbers = count / geometries
    mean = average(scaling.placed(sites.spectrum, sites.ionization, grid))
    factors, rest = (scaling.placed(part, sites.ionization, grid) for part in errors.of_sites(sites, distance))
    factors = average(factors) * errors.shared(absorbers)[:, None, None]
    rest = np.sqrt(average(rest**2) / absorbers[:, None])
    far = average(distance)
    std = np.sqrt((factors**2).sum(axis=1) + rest**2)
    return StructureSpectra(mean, std, factors, average(sites.ionization), far <= errors.far, far)


def population_spectra(model: EdgeModel) -> StructureSpectra:
    """Return the kinds of spectra that a sample on no list may have: each kind of training structure, and one unlike all."""
    population = model.population
    energy = population.energy
    nodes = np.arange(energy[0], energy[-1] + UNLIKE_LENGTH, UNLIKE_LENGTH)
    apart = population.mean - population.mean.mean(axis=0)
    spread = np.sqrt((apart**2 + (population.factors**2).sum(axis=1)).mean(axis=0)).mean()
    bumps = UNLIKE_SPREAD * spread * np.exp(-0.5 * ((energy - nodes[:, None]) / UNLIKE_LENGTH) ** 2)
    rows = max(len(bumps), population.factors.shape[1])
    factors = np.array([np.pad(factor, ((0, rows - len(factor)), (0, 0))) for factor in [*population.factors, bumps]])
    kinds = len(population.mean)
    return StructureSpectra(
        mean=np.concatenate([population.mean, population.mean.mean(axis=0, keepdims=True)]),
        std=np.sqrt((factors**2).sum(axis=1)),
        factors=factors,
        ionization=np.append(population.ionization, population.ionization.mean()),
        supported=np.arange(kinds + 1) < kinds,
        distance=np.zeros(kinds + 1),
    )


def _unsupported(mean: Array, grid: Array) -> Array:
    """Return the errors' factors (n, 2, p) that are added where a structure is unlike the training set."""
    return np.stack([UNSUPPORTED_SHIFT * np.gradient(mean, grid, axis=-1), UNSUPPORTED_STRENGTH * mean], axis=1)
