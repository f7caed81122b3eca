"""Spectra as frozen values; energies in eV."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from xas_bluesky.errors import SpectrumError

Array = NDArray[np.float64]

FWHM = 2 * math.sqrt(2 * math.log(2))
"""Full width at half maximum of a Gaussian, in standard deviations."""


def _vector(name: str, values: object, length: int | None = None) -> Array:
    array = np.array(values, dtype=np.float64)  # a copy: the value must not change with its source
    if array.ndim != 1:
        raise SpectrumError(f"{name}: got an array of shape {array.shape}, expected one dimension")
    if length is not None and len(array) != length:
        raise SpectrumError(f"{name}: got {len(array)} values, expected {length}, one per energy")
    array.flags.writeable = False
    return array


@dataclass(frozen=True, slots=True)
class Spectrum:
    """Hold one measured scan as recorded, points in time order.

    `energy` (n,) eV, the readback of the mono. `channels`: name -> (n,), among i0, itrans, irefer, fluorescence,
    electron_yield (counts over the dwell), mu (already reduced), dwell (s) and energy_setpoint (eV). A detector of
    several elements has fluorescence_1, fluorescence_2, … and, for its dead time, icr_1, ocr_1, … (counts/s).
    `metadata`: what the source says of the sample and edge.
    """

    energy: Array
    channels: Mapping[str, Array]
    metadata: Mapping[str, object] = field(default_factory=dict[str, object])

    def __post_init__(self) -> None:
        object.__setattr__(self, "energy", _vector("energy", self.energy))
        checked = {name: _vector(name, values, len(self.energy)) for name, values in self.channels.items()}
        object.__setattr__(self, "channels", checked)

    def __len__(self) -> int:
        return len(self.energy)


@dataclass(frozen=True, slots=True)
class Absorption:
    """Hold raw absorption with its counting variance.

    `energy` (n,) eV; `mu` (n,) in arbitrary units, offset and slope unknown; `variance` (n,), independent per point,
    infinite where a point weighs nothing. `signal`: what it was made from (transmission, fluorescence, …); `noise`: where
    the variance comes from (photons, gain, repeats, scatter, or unknown). `flags`: reason -> (n,), the points it holds
    for; `remarks`: what is to be said of all of them.
    """

    energy: Array
    mu: Array
    variance: Array
    signal: str = "mu"
    noise: str = "unknown"
    flags: Mapping[str, NDArray[np.bool_]] = field(default_factory=dict[str, NDArray[np.bool_]])
    remarks: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "energy", _vector("energy", self.energy))
        object.__setattr__(self, "mu", _vector("mu", self.mu, len(self.energy)))
        object.__setattr__(self, "variance", _vector("variance", self.variance, len(self.energy)))

    @property
    def usable(self) -> NDArray[np.bool_]:
        """Say which points weigh something, (n,)."""
        return np.isfinite(self.variance)

    def __len__(self) -> int:
        return len(self.energy)


@dataclass(frozen=True, slots=True)
class NormalizedSpectrum:
    """Hold a complete scan, edge-step-normalized.

    `energy` (n,) eV, increasing; `norm` (n,) pre-edge line removed, divided by the edge step; `flat` (n,) post-edge
    curvature removed as well; `e0` eV; `edge_step` in units of the raw mu; `pre_edge`, `post_edge` (n,) fitted curves.
    """

    energy: Array
    norm: Array
    flat: Array
    e0: float
    edge_step: float
    pre_edge: Array
    post_edge: Array


@dataclass(frozen=True, slots=True, repr=False)
class ReducedScan:
    """Hold what is known of one scan, whole or not.

    `spectrum`: as measured; `absorption`: of the sample, its energies with `shift` (eV) added; `reference`: of the foil,
    energies as measured, None without its channels; `reference_e0` (eV, as measured) None while not known; `shift`: what
    calibration by the foil adds, 0 unless a foil is declared and its edge was found; `normalized`: None until the scan
    holds a whole edge. `stage`: how far the scan is (empty, below the edge, in the edge, whole, scattered). `unknown`: what is
    not known yet -> why. `remarks`: what is to be said of the scan as a whole.
    """

    spectrum: Spectrum
    absorption: Absorption
    reference: Absorption | None
    reference_e0: float | None
    shift: float
    normalized: NormalizedSpectrum | None
    stage: str
    unknown: Mapping[str, str]
    remarks: tuple[str, ...]

    def __repr__(self) -> str:
        """Say in a line what is known; the arrays would fill screens."""
        said = [self.stage, f"{len(self.spectrum)} points"]
        if self.normalized is not None:
            said += [f"normalized.e0 {self.normalized.e0:.2f} eV", f"normalized.edge_step {self.normalized.edge_step:.4g}"]
        said += [f"shift {self.shift:+.3f} eV", *(f"{what} unknown: {why}" for what, why in self.unknown.items())]
        return f"ReducedScan({'; '.join([*said, *self.remarks])})"


@dataclass(frozen=True, slots=True)
class PredictedSpectra:
    """Hold the predicted spectra of n candidates at one edge, in units of the atomic edge jump.

    `candidate` (n,) names; `energy` (m,) eV; `mean`, `std` (n, m); `factors` (n, r, m): the part of the error that is
    correlated along energy, with covariance factorsᵀ·factors, counted in std² too; `ionization` (n,) eV; `supported`
    (n,) False where a structure is unlike all of the training set; `distance` (n,) how far it lies from that set, in the
    networks' latent space and its own unit: the larger, the less like it; NaN in a record from before this was kept;
    `model`: the hash of the weights; `source` (n,): "model", or "theory" where the spectrum is computed from first
    principles; empty where all are the model's. `inchikey`, `formula` (n,): what the structures are, an empty text where there
    is no such thing (a crystal has no InChIKey); empty tuples where that was never asked.
    """

    edge: str
    candidate: tuple[str, ...]
    energy: Array
    mean: Array
    std: Array
    factors: Array
    ionization: Array
    supported: NDArray[np.bool_]
    distance: Array
    model: str
    source: tuple[str, ...] = ()
    inchikey: tuple[str, ...] = ()
    formula: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.candidate)

    def chosen(self, names: Sequence[str]) -> "PredictedSpectra":
        """Return the spectra of these candidates, in this order."""
        rows = [self.candidate.index(name) for name in names]
        parts = {part: getattr(self, part)[rows] for part in (*BY_CANDIDATE, "distance")}
        said = {name: tuple(getattr(self, name)[row] for row in rows) for name in TEXTS if getattr(self, name)}
        return replace(self, candidate=tuple(names), **said, **parts)

    def with_rows(self, other: "PredictedSpectra") -> "PredictedSpectra":
        """Return these spectra with those of `other`, and their sources, in the place of the same candidates' own.

        `other` holds some of the candidates, on the same energies. Factors get rows of zeros up to the larger number of
        rows; `distance`, `model` and what the structures are stay.
        """
        rows = [self.candidate.index(name) for name in other.candidate]
        rank = max(self.factors.shape[1], other.factors.shape[1])
        mine, theirs = (replace(spectra, factors=_padded(spectra.factors, rank)) for spectra in (self, other))
        parts = {part: getattr(mine, part).copy() for part in BY_CANDIDATE}
        for part, values in parts.items():
            values[rows] = getattr(theirs, part)
        source = list(self.source or ("model",) * len(self))
        for row, name in zip(rows, other.source or ("model",) * len(other), strict=True):
            source[row] = name
        return replace(self, source=tuple(source), **parts)


BY_CANDIDATE = ("mean", "std", "factors", "ionization", "supported")
TEXTS = ("source", "inchikey", "formula")
"""What may be said of each candidate, or of none."""


def _padded(factors: Array, rank: int) -> Array:
    return np.pad(factors, ((0, 0), (0, rank - factors.shape[1]), (0, 0)))


@dataclass(frozen=True, slots=True)
class Prediction:
    """Hold a predictor's answer.

    `population`: the kinds of spectra a sample on no list may have, `candidate` naming each kind; `rejected`: why each
    candidate that is missing from `spectra` could not be predicted.
    """

    spectra: PredictedSpectra
    population: PredictedSpectra
    rejected: tuple[str, ...]
