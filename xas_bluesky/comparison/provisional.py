"""The provisional normalization of a scan that may be far from complete, and the cells that its points are merged in."""

from dataclasses import dataclass, field
from typing import Self

import numpy as np
from scipy.special import ndtr

from xas_bluesky.errors import SpectrumError
from xas_bluesky.spectra import Absorption, Array

NEAR_EDGE = (-60.0, 80.0)
"""Points outside this window (eV) are not compared: no candidate says anything there, and the baseline is curved."""
EDGE_SD = 2.0
"""The step's form is an error function of this width (eV)."""
FORM_SD, SLOPE_SD = 0.05, 0.01
"""What the form gets wrong, and how steep (1/eV) a line may be, in edge steps."""


@dataclass(frozen=True, slots=True)
class Structure:
    """Say where (eV) a spectrum has its structure, from `low` to `high`, and its `step`: what lies outside is normalized by.

    `energy` (m,) and `form` (m,): what it is expected to look like; without them, an edge step.
    """

    low: float
    high: float
    step: float
    energy: Array = field(default_factory=lambda: np.zeros(0))
    form: Array = field(default_factory=lambda: np.zeros(0))

    def expected(self, energy: Array) -> Array:
        """Return what is expected at energies (n,) eV, in edge steps."""
        if len(self.energy) == 0:
            return ndtr((energy - self.step) / EDGE_SD)
        return np.interp(energy, self.energy, self.form)

    @classmethod
    def of_edge(cls, edge_energy: float) -> Self:
        """Return where it is usual at an edge."""
        return cls(edge_energy - 8.0, edge_energy + 14.0, edge_energy)


@dataclass(frozen=True, slots=True)
class Baseline:
    """Hold an offset (at the step) and slope (1/eV) of the raw absorption, and its edge step."""

    offset: float
    slope: float
    step: float
    at: float

    @classmethod
    def fit(cls, absorption: Absorption, structure: Structure) -> Self:
        """Fit a line, flat unless the points say otherwise, and the expected form to the points clear of the structure.

        What the form gets wrong is left to the posterior's scale, offset and slope. Raises SpectrumError when the points
        cannot settle an edge step.
        """
        near = _compared(absorption, structure.step)
        below, above = near & (absorption.energy < structure.low), near & (absorption.energy > structure.high)
        if not (below.any() and above.any()):
            raise SpectrumError(
                f"the edge step is not known: it takes energies below {structure.low:.0f} eV and above "
                f"{structure.high:.0f} eV; measure a wider range"
            )
        clear = below | above
        away, mu = absorption.energy[clear] - structure.step, absorption.mu[clear]
        terms = np.stack([np.ones_like(away), structure.expected(absorption.energy[clear]), away], axis=-1)
        # few points must not make a steep line out of what the form gets wrong
        held = np.array([0.0, 0.0, FORM_SD / SLOPE_SD])
        rows, values = np.vstack([terms, held]), np.append(mu, 0.0)
        offset, step, slope = np.linalg.lstsq(rows, values, rcond=None)[0].tolist()
        if step <= 0:
            raise SpectrumError(f"the absorption does not rise at {structure.step:.0f} eV; is this the right edge?")
        return cls(offset, slope, step, structure.step)

    def normalize(self, absorption: Absorption) -> Absorption:
        """Take the line off and divide by the step; points far from the edge or of infinite variance are left out."""
        near = _compared(absorption, self.at)
        energy, mu, variance = absorption.energy[near], absorption.mu[near], absorption.variance[near]
        line = self.offset + self.slope * (energy - self.at)
        return Absorption(energy, (mu - line) / self.step, variance / self.step**2)

    def differs(self, other: Self, share: float) -> bool:
        """Say whether it lies from another by more than a share of that one's edge step."""
        return max(abs(self.step - other.step), abs(self.offset - other.offset)) > share * other.step


def provisional(absorption: Absorption, edge_energy: float) -> Absorption:
    """Normalize a scan that may be far from complete; see Baseline."""
    return Baseline.fit(absorption, Structure.of_edge(edge_energy)).normalize(absorption)


def in_cells(normalized: Absorption, cell: float) -> Absorption:
    """Merge the points of each energy cell, weighted by their variances: theory's fine error is one draw per cell."""
    _, place = np.unique(np.floor(normalized.energy / cell), return_inverse=True)
    weight = 1 / normalized.variance
    total = np.bincount(place, weight)
    energy = np.bincount(place, weight * normalized.energy) / total
    return Absorption(energy, np.bincount(place, weight * normalized.mu) / total, 1 / total)


def difference(before: Absorption, after: Absorption) -> Absorption:
    """Return what takes cells from one state to another: new ones, and old ones to take out, of negative variance."""

    def rows(cells: Absorption) -> Array:
        return np.column_stack([cells.energy, cells.mu, cells.variance])

    old, new = {tuple(row): row for row in rows(before)}, {tuple(row): row for row in rows(after)}
    gone = [row * (1, 1, -1) for key, row in old.items() if key not in new]
    come = [row for key, row in new.items() if key not in old]
    energy, mu, variance = np.array([*gone, *come]).reshape(-1, 3).T
    return Absorption(energy, mu, variance)


def _compared(absorption: Absorption, edge_energy: float) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
    away = absorption.energy - edge_energy
    return np.isfinite(absorption.variance) & (away > NEAR_EDGE[0]) & (away < NEAR_EDGE[1])
