"""What theory gets wrong: the gap between a predicted and a measured spectrum, as a Gaussian prior."""

import json
from dataclasses import dataclass
from importlib.resources import files
from itertools import product
from pathlib import Path
from typing import Self

import numpy as np
from pydantic import TypeAdapter
from scipy.special import ndtr

from xas_bluesky.edges import find_edge
from xas_bluesky.errors import SettingsError
from xas_bluesky.spectra import Array

FITTED = ("S K",)
"""Edges whose gap is fitted to measured spectra."""
UNKNOWN_SHIFT = 2.0
"""eV, the standard deviation of the energy shift at any other edge."""
STEEPNESS = 1.5
"""The additive error rises from its pre-edge to its full size over about twice this energy, eV."""


@dataclass(frozen=True, slots=True)
class Gap:
    """Set how far a measured spectrum may lie from a right prediction. Energies in eV, sizes in atomic edge jumps.

    The whole spectrum is shifted (`shift` ± `shift_sd`), broadened (one of `widths`, full width at half maximum) and
    flattened by self-absorption (one of `reabsorptions`, in 1/edge jump). Peaks move (`warp_sd`) and change in strength
    (`strength_sd`, relative) against each other, over `warp_length` and `strength_length`. Theory errs as compounds of one
    kind differ, times `spread`. The continuum differs by `smooth_sd`, over `smooth_length`, from `onset` below the ionization
    energy to about `reach` above it, and by `floor_sd` elsewhere; `fine_sd` is what is left in a cell of `cell`. Each is drawn
    once per run, so that measuring a point again cannot average it down.
    """

    shift: float = 0.0
    shift_sd: float = 0.4
    widths: tuple[float, ...] = (0.8, 1.6, 2.4)
    reabsorptions: tuple[float, ...] = (0.0, 0.3)
    warp_sd: float = 0.4
    warp_length: float = 4.0
    strength_sd: float = 0.3
    strength_length: float = 4.0
    spread: float = 0.5
    smooth_sd: float = 0.3
    smooth_length: float = 3.0
    floor_sd: float = 0.02
    onset: float = 6.0
    reach: float = 12.0
    fine_sd: float = 0.05
    cell: float = 0.4

    @classmethod
    def load(cls, path: Path | None = None) -> Self:
        """Read the fitted gap from a JSON file; by default the one shipped with the package."""
        source = path or files("xas_bluesky") / "data" / "gap.json"
        try:
            return TypeAdapter(cls).validate_python(json.loads(source.read_text())["gap"])
        except (OSError, ValueError, LookupError, TypeError) as error:
            reason = " ".join(str(error).split())
            raise SettingsError(f"{source}: cannot be read as a fitted gap ({reason}); make it again by training") from error

    @classmethod
    def for_edge(cls, edge: str) -> Self:
        """Return the fitted gap at an edge that measured spectra of known compounds are shipped for, else a wide one.

        Without such spectra the energies of theory and mono may lie 2 eV apart.
        """
        return cls.load() if str(find_edge(edge)) in FITTED else cls(shift_sd=UNKNOWN_SHIFT)

    @staticmethod
    def doubts(edge: str) -> list[str]:
        """Say what an identification at this edge has to be taken with."""
        if str(find_edge(edge)) in FITTED:
            return []
        off = f"energies may be {UNKNOWN_SHIFT:g} eV off"
        return [f"edge {edge!r}: the gap between theory and experiment is not known there; {off}"]

    def distortions(self) -> list[tuple[float, float]]:
        """Return every pair of a broadening and a self-absorption, each as probable as the others."""
        return list(product(self.widths, self.reabsorptions))

    def features(self, energy: Array, mean: Array, ionization: float) -> Array:
        """Return functions of energy whose unit-variance combinations make the correlated part of the gap.

        `energy` (m,) evenly spaced and `mean` (m,) the predicted spectrum; returns (r, m).
        """
        slope = np.gradient(mean, energy)
        near_edge = ndtr((energy - ionization + self.onset) / STEEPNESS)
        near_edge *= np.exp(-((np.maximum(energy - ionization, 0) / self.reach) ** 2))
        smooth = self.floor_sd + (self.smooth_sd - self.floor_sd) * near_edge
        near = (ionization - 14.0, ionization + 14.0)
        return np.concatenate(
            [
                self.warp_sd * slope * _draws(energy, *near, self.warp_length),
                self.strength_sd * mean * _draws(energy, *near, self.strength_length),
                smooth * _draws(energy, ionization - 14.0, float(energy[-1]), self.smooth_length),
            ]
        )


def _draws(energy: Array, low: float, high: float, length: float) -> Array:
    """Return (r, m) functions that span a unit Gaussian process of the given correlation length between two energies."""
    nodes = np.arange(low, high + length, length)
    covariance = np.exp(-0.5 * ((nodes[:, None] - nodes) / length) ** 2)
    root = np.linalg.cholesky(covariance + 1e-6 * np.eye(len(nodes)))
    across = np.exp(-0.5 * ((energy[:, None] - nodes) / length) ** 2)
    return np.linalg.solve(root, across.T).astype(np.float64)
