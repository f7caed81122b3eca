"""What theory gets wrong: the gap between a predicted and a measured spectrum, as a Gaussian prior."""

import json
from dataclasses import asdict, dataclass, replace
from functools import cache
from importlib.resources import files
from itertools import product
from pathlib import Path
from typing import Any, Self

import numpy as np
from pydantic import TypeAdapter
from scipy.special import ndtr

from xas_bluesky.edges import find_edge
from xas_bluesky.errors import SettingsError
from xas_bluesky.spectra import FWHM, Array

FITTED = ("S K",)
"""Edges whose gap is fitted to measured spectra."""
UNKNOWN_SHIFT = 2.0
"""eV, the standard deviation of the energy shift at an edge where no measured spectrum has settled it."""
FEFF = ("Cu K",)
"""Edges whose spectra FEFF made."""
FEFF_SHIFT = 8.0
"""eV, the same there: FEFF's energies need 4 to 6 eV against measured edges."""
OWN_SHIFT = 0.35
"""eV, the standard deviation of the unknown shift where a spectrum of the theory itself is measured, as in benchmarks."""
RESOLUTION = {"S": 1.0}
"""Full width at half maximum (eV) of the Gaussian in predicted spectra, by absorber; 0.8 eV at all others."""
UNSURE_RESOLUTION = 0.15
"""How far (relative) that width is from the beamline's, in one standard deviation."""
OF_NETWORK: dict[str, Any] = {
    "warp_sd": 0.11,
    "warp_length": 1.0,
    "strength_sd": 0.0,
    "spread": 0.0,
    "smooth_sd": 0.02,
    "smooth_length": 6.0,
    "floor_sd": 0.02,
    "fine_sd": 0.02,
    "fine_share": 0.8,
    "fine_length": 1.8,
    "cell": 0.4,
    "network": 0.4,
}
"""How predictions differ from spectra of the theory that the network learned: benchmarks/error_of_network.py.

The sizes make validation molecules (C, N and O K) most probable among their isomers, from many energies and from few.
"""
DOUBT = 0.04
"""The share of samples of which predictions count as saying nothing: benchmarks/tempering.py, as the next two."""
TEMPER = {"C K": 0.85, "N K": 0.8, "O K": 0.65}
"""The power of the likelihood by which stated probabilities of validation molecules are right; OTHER_TEMPER elsewhere."""
OTHER_TEMPER = 0.75
FAVOUR_NONE = 3.0
"""What favours "none of these", whose kinds of spectra fit worse than a prediction of the sample does."""
SELF_ABSORBED = ("fluorescence", "mu")
"""Signals that self-absorption may flatten; what a ready-made mu was measured in is not known."""
FIRST_NODE, NODE_STEP = -12.8, 0.8
"""eV from the ionization energy: where the errors of peaks are learned, and how far apart these places lie."""
SAME = 1e-6
"""Energies (eV) closer than this are the same."""
STEEPNESS = 1.5
"""The additive error rises from its pre-edge to its full size over about twice this energy, eV."""


@dataclass(frozen=True, slots=True)
class Gap:
    """Set how far a measured spectrum may lie from a right prediction. Energies in eV, sizes in atomic edge jumps.

    The whole spectrum is shifted (`shift` ± `shift_sd`), broadened (one of `widths`, full width at half maximum) and
    flattened by self-absorption (one of `reabsorptions`, in 1/edge jump); the variance of the Gaussian resolution is off by
    `blur_sd` (eV²). Peaks move (`warp_sd`) and change in strength (`strength_sd`, relative) against each other, over
    `warp_length` and `strength_length`; or, where that was learned from pairs of theories, as `learned` (r, 2k) says:
    directions of unit variance, each k movements (eV) and then k relative changes of strength at places NODE_STEP apart,
    `learned_size` times as large. Theory errs as compounds of one kind differ, times `spread`. The continuum differs by
    `smooth_sd`, over `smooth_length`, from `onset` below the ionization energy to about `reach` above it, and by `floor_sd`
    elsewhere. What is left in a cell of `cell`, the fine error, is `fine_sd` and `fine_share` times the uncertainty that the
    listed predictions usually have there; cells have more of it in common the less they are than `fine_length` apart. The
    network's own error counts `network` times. All that is correlated is larger or smaller together by one of `looseness`: a
    few predictions are far off. Each is drawn once per run, so that measuring a point again cannot average it down. `temper`:
    the power of the likelihood, `favour_none`: what is added to the log weight of "none of these", and `doubt`: the
    probability that predictions say nothing of this sample, which make stated probabilities those found.
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
    fine_share: float = 0.0
    fine_length: float = 0.0
    cell: float = 0.4
    blur_sd: float = 0.0
    temper: float = 1.0
    favour_none: float = 0.0
    doubt: float = 0.0
    network: float = 1.0
    looseness: tuple[float, ...] = (1.0,)
    learned: tuple[tuple[float, ...], ...] = ()
    learned_size: float = 1.0

    def __post_init__(self) -> None:
        lengths = {len(direction) for direction in self.learned}
        if len(lengths) > 1 or any(length % 2 for length in lengths):
            raise SettingsError(f"gap: learned directions of {sorted(lengths)} numbers; give each the same even number")

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
    def for_edge(cls, edge: str, shift: tuple[float, float] | None = None) -> Self:
        """Return the gap at an edge: the fitted one where measured spectra of known compounds are shipped, else a wide one.

        `shift`: what the beamline's measured reference says of the energies, measured minus predicted: mean and standard
        deviation, eV. Without it that of the fit, or `UNKNOWN_SHIFT`. Raises SettingsError when it is not positive.
        """
        name = str(find_edge(edge))
        gap = cls.load() if name in FITTED else cls(shift_sd=FEFF_SHIFT if name in FEFF else UNKNOWN_SHIFT)
        if shift is None:
            return gap
        if not shift[1] > 0:
            raise SettingsError(f"edge {edge!r}: the shift's standard deviation is {shift[1]:g} eV; give one above 0")
        return replace(gap, shift=shift[0], shift_sd=shift[1])

    @classmethod
    def of_theory(cls, edge: str) -> Self:
        """Return the gap to spectra of the theory that predictions were trained on: the energies' zero and the resolution."""
        name, width = str(find_edge(edge)), RESOLUTION.get(find_edge(edge).absorber, 0.8)
        return cls(
            shift_sd=OWN_SHIFT,
            widths=(0.0,),
            reabsorptions=(0.0,),
            **OF_NETWORK,
            temper=TEMPER.get(name, OTHER_TEMPER),
            favour_none=FAVOUR_NONE,
            doubt=DOUBT,
            blur_sd=2 * UNSURE_RESOLUTION * (width / FWHM) ** 2,
        )

    @staticmethod
    def doubts(edge: str, shift: tuple[float, float] | None = None) -> list[str]:
        """Say what an identification at this edge has to be taken with; `shift` as in `for_edge`."""
        name = str(find_edge(edge))
        if name in FITTED:
            return []
        doubts = [f"edge {edge!r}: the gap between theory and experiment is not known there"]
        if shift is None:
            off = FEFF_SHIFT if name in FEFF else UNKNOWN_SHIFT
            doubts[0] += f"; energies may be {off:g} eV off"
        if name in FEFF:
            doubts.append(
                f"edge {edge!r}: FEFF's energies are not absolute, only the shape of the spectrum counts; "
                "trust the oxidation state and the coordination, not the compound"
            )
        return doubts

    def for_signal(self, signal: str) -> Self:
        """Return the gap in a signal of `Absorption`: only fluorescence is flattened by self-absorption."""
        return self if signal in SELF_ABSORBED else replace(self, reabsorptions=(0.0,))

    def to_json(self) -> str:
        """Return all of it as JSON, for a record; `from_json` gives back the same numbers."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> Self:
        """Read what `to_json` wrote; raises SettingsError when it is not that."""
        try:
            return TypeAdapter(cls).validate_json(text)
        except ValueError as error:
            raise SettingsError(f"not a gap as `Gap.to_json` writes it: {' '.join(str(error).split())}") from error

    def distortions(self) -> list[tuple[float, float, float]]:
        """Return every choice of a broadening, a self-absorption and a looseness, each as probable as the others."""
        return list(product(self.widths, self.reabsorptions, self.looseness))

    def alike(self, energy: Array, others: Array) -> Array:
        """Return how much of the fine error at energies (n,) is that at others (k,): all at the same; (n, k)."""
        return np.maximum(1 - np.abs(energy[:, None] - others) / max(self.fine_length, SAME), 0.0)

    def features(self, energy: Array, mean: Array, ionization: float) -> Array:
        """Return functions of energy whose unit-variance combinations make the correlated part of the gap.

        `energy` (m,) evenly spaced and `mean` (m,) the predicted spectrum; returns (r, m). What is of size zero takes no row.
        """
        slope = np.gradient(mean, energy)
        near = (ionization - 14.0, ionization + 14.0)
        rows = [np.zeros((0, len(energy)))]
        if self.warp_sd:
            rows.append(self.warp_sd * slope * _draws(energy, *near, self.warp_length))
        if self.strength_sd:
            rows.append(self.strength_sd * mean * _draws(energy, *near, self.strength_length))
        if self.learned:
            directions = self.learned_size * np.array(self.learned)
            nodes = FIRST_NODE + NODE_STEP * np.arange(directions.shape[1] // 2)
            across = np.exp(-0.5 * ((energy - ionization - nodes[:, None]) / NODE_STEP) ** 2)
            rows.append(directions @ np.concatenate([slope * across, mean * across]))
        if self.smooth_sd or self.floor_sd:
            near_edge = ndtr((energy - ionization + self.onset) / STEEPNESS)
            near_edge *= np.exp(-((np.maximum(energy - ionization, 0) / self.reach) ** 2))
            smooth = self.floor_sd + (self.smooth_sd - self.floor_sd) * near_edge
            rows.append(smooth * _draws(energy, ionization - 14.0, float(energy[-1]), self.smooth_length))
        if self.blur_sd:
            rows.append(0.5 * self.blur_sd * np.gradient(slope, energy)[None])
        return np.concatenate(rows)


def _draws(energy: Array, low: float, high: float, length: float) -> Array:
    """Return (r, m) functions that span a unit Gaussian process of the given correlation length between two energies."""
    nodes = np.arange(low, high + length, length)
    across = np.exp(-0.5 * ((energy - nodes[:, None]) / length) ** 2)
    return _whitening(len(nodes)) @ across


@cache
def _whitening(count: int) -> Array:
    """Return what makes values at so many nodes, one correlation length apart, independent (count, count)."""
    nodes = np.arange(count)
    covariance = np.exp(-0.5 * (nodes[:, None] - nodes) ** 2)
    return np.linalg.inv(np.linalg.cholesky(covariance + 1e-6 * np.eye(count))).astype(np.float64)
