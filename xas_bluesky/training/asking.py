"""What trained networks say of examples, beside what was computed."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from xas_bluesky.models import Scaling, SpectrumGNN, collate
from xas_bluesky.models.ensemble import ask
from xas_bluesky.spectra import Array
from xas_bluesky.training.examples import Example

TOGETHER = 16
"""Examples asked at a time."""


@dataclass(frozen=True, slots=True)
class Asked:
    """Hold answers for the k absorbers of one edge in n examples, example by example.

    `outputs` (networks, k, m + 2); `latent` (k, trunk) of the first network; `spectra` (k, m), `ionization` (k,): as computed;
    `count` (n,): absorbers per example.
    """

    outputs: Array
    latent: Array
    spectra: Array
    ionization: Array
    count: NDArray[np.int64]

    def residuals(self, scaling: Scaling) -> Array:
        """Return predicted minus computed spectra (k, m), on energies from the predicted ionization energy."""
        sites = scaling.sites(self.outputs)
        return sites.spectrum - scaling.moved(self.spectra, self.ionization - sites.ionization)

    def means(self, scaling: Scaling, grid: Array) -> Array:
        """Return the computed spectra (n, p) of the examples on a grid of energies (p,) eV."""
        placed = scaling.placed(self.spectra, self.ionization, grid)
        return np.add.reduceat(placed, np.cumsum(self.count) - self.count, axis=0) / self.count[:, None]

    def within(self, scaling: Scaling, grid: Array) -> NDArray[np.bool_]:
        """Say where on a grid (p,) eV the examples' spectra are computed (n, p): beyond, they only go on as they ended."""
        starts = np.cumsum(self.count) - self.count
        low = np.minimum.reduceat(self.ionization, starts) + scaling.energy[0]
        high = np.maximum.reduceat(self.ionization, starts) + scaling.energy[-1]
        return (grid >= low[:, None] - 1e-6) & (grid <= high[:, None] + 1e-6)


def ask_examples(networks: Sequence[SpectrumGNN], examples: Sequence[Example], edge: str) -> Asked:
    """Ask networks about the examples that have this edge, in the geometries that a prediction makes."""
    having = [example for example in examples if edge in example.targets]
    outputs: list[Array] = []
    latent: list[Array] = []
    for start in range(0, len(having), TOGETHER):
        chunk = having[start : start + TOGETHER]
        sizes = np.cumsum([0, *(len(example.predicted.absorbers) for example in chunk)])
        rows = np.concatenate([example.targets[edge].rows + size for example, size in zip(chunk, sizes, strict=False)])
        found = ask(networks, collate([example.predicted for example in chunk]), edge)
        outputs.append(found[0][:, rows])
        latent.append(found[1][rows])
    targets = [example.targets[edge] for example in having]
    return Asked(
        np.concatenate(outputs, axis=1),
        np.concatenate(latent),
        np.concatenate([found.spectra for found in targets]),
        np.concatenate([found.ionization for found in targets]),
        np.array([len(found.rows) for found in targets]),
    )
