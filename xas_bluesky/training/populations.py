"""The kinds of spectra in a training set: what a sample that is on no list may look like."""

from collections.abc import Sequence

import numpy as np
from sklearn.cluster import KMeans

from xas_bluesky.models import Population, Scaling
from xas_bluesky.models.low_rank import low_rank
from xas_bluesky.spectra import Array
from xas_bluesky.training.examples import Example

KINDS = 30
FACTORS = 20
SMALLEST = 10
"""Structures for each kind, at least, on average."""


def fit_population(examples: Sequence[Example], edge: str, scaling: Scaling) -> tuple[Population, list[str]]:
    """Part the computed spectra of training structures into kinds; returns the label of the middle one of each, too."""
    having = [example for example in examples if edge in example.targets]
    targets = [example.targets[edge] for example in having]
    ionization = np.concatenate([found.ionization for found in targets])
    energy = predicted_energies(scaling, ionization)
    spectra = computed_spectra(having, edge, scaling, energy)
    kinds = max(1, min(KINDS, len(having) // SMALLEST))
    fitted = KMeans(kinds, random_state=0).fit(spectra)
    mean: list[Array] = []
    factors: list[Array] = []
    middle: list[str] = []
    zero: list[float] = []
    for kind in range(kinds):
        members = np.flatnonzero(fitted.labels_ == kind)
        center = spectra[members].mean(axis=0)
        off = spectra[members] - center
        mean.append(center)
        factors.append(low_rank(off / np.sqrt(len(members)), FACTORS)[0])
        middle.append(having[members[np.abs(off).sum(axis=1).argmin()]].label)
        zero.append(float(np.mean([targets[member].ionization.mean() for member in members])))
    return Population(energy, np.array(mean), np.array(factors), np.array(zero)), middle


def predicted_energies(scaling: Scaling, ionization: Array) -> Array:
    """Return the energies (p,) eV that spectra are predicted at: the networks', from the lowest to the highest ionization."""
    low, high = ionization.min() + scaling.energy[0], ionization.max() + scaling.energy[-1]
    return np.round(np.arange(np.floor(low), np.ceil(high) + scaling.step / 2, scaling.step), 3)


def computed_spectra(examples: Sequence[Example], edge: str, scaling: Scaling, grid: Array) -> Array:
    """Return the computed spectra (n, p) of structures on a grid of energies (p,) eV; all of them have this edge."""
    targets = [example.targets[edge] for example in examples]
    return np.array([scaling.placed(found.spectra, found.ionization, grid).mean(axis=0) for found in targets])
