"""The fingerprint method: a measured spectrum as a combination of measured references."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
from scipy.interpolate import Akima1DInterpolator
from scipy.linalg import null_space
from scipy.optimize import minimize_scalar, nnls

from xas_bluesky.edges import find_edge
from xas_bluesky.errors import SettingsError, SpectrumError
from xas_bluesky.files import read_spectrum
from xas_bluesky.reduction import absorption, normalize
from xas_bluesky.reduction.calibration import FARTHEST, distinct_points
from xas_bluesky.spectra import Absorption, Array

LOW, HIGH = -20.0, 30.0
"""The usual range of a fit, eV from e0 of the measured spectrum."""
LEAST = 0.0005
"""A combination with a weight below is left to the smaller one that lacks this reference."""
MIN_POINTS = 10
SHIFT_STEP = 0.25
ENDINGS = (".csv", ".dat", ".nor", ".txt", ".xdi", ".xmu")
"""Files of a folder that are taken for spectra."""


@dataclass(frozen=True, slots=True)
class Reference:
    """Name a measured spectrum of a known compound, and hold it."""

    name: str
    absorption: Absorption


@dataclass(frozen=True, slots=True)
class Fit:
    """Hold a normalized spectrum as the sum of references times weights.

    `weights` and `errors` (one standard deviation) of the `references`; `shift` ± `shift_error` (eV) added to the references'
    energies, 0 where it is not fitted. Over the fit's `points`, as in Athena and xraylarch: `r_factor`
    Σ(data − fit)² / Σ data²; `chi_square` Σ(data − fit)²; `reduced_chi_square`, the same over points less variables;
    `aic` points · ln(chi_square / points) + 2 · variables.
    """

    references: tuple[str, ...]
    weights: tuple[float, ...]
    errors: tuple[float, ...]
    shift: float
    shift_error: float
    r_factor: float
    chi_square: float
    reduced_chi_square: float
    aic: float
    points: int


@dataclass(frozen=True, slots=True)
class _Data:
    """Hold what is fitted: `energy`, `norm`, its counting `variance` (n,), and how; `e0` and `span` (eV) of the whole scan."""

    e0: float
    span: tuple[float, float]
    energy: Array
    norm: Array
    variance: Array
    sum_to_one: bool
    max_shift: float


def fit_references(
    measured: Absorption,
    references: Sequence[Reference],
    *,
    e0: float | None = None,
    low: float = LOW,
    high: float = HIGH,
    sum_to_one: bool = True,
    max_shift: float = 0.0,
) -> Fit:
    """Fit a whole measured spectrum by references, with weights of at least 0.

    The references are normalized as the spectrum is, at its `e0` (eV, found if not given) and within its range, so that a
    mixture's normalized spectrum is the sum of its parts'. The fit's range is from `low` to `high`, eV from e0. With a
    `max_shift` (eV) above 0 all references are shifted in energy together, by at most that, as they are normalized. An error
    counts the misfit as independent noise, or the counting noise where that is more, but not what is unsure about the
    normalization. Raises SpectrumError where the spectrum or a reference cannot be normalized, has too few
    points in the range, or does not cover it.
    """
    if not references:
        raise SpectrumError("no references to fit the spectrum by; give at least one")
    data = _select(measured, e0, len(references), (low, high), sum_to_one, max_shift)
    return _fit(data, tuple(reference.name for reference in references), [_curve(one, data) for one in references])


def rank_references(
    measured: Absorption,
    references: Sequence[Reference],
    *,
    components: int = 3,
    most: int = 10,
    e0: float | None = None,
    low: float = LOW,
    high: float = HIGH,
    sum_to_one: bool = True,
    max_shift: float = 0.0,
) -> tuple[Fit, ...]:
    """Fit every combination of up to so many references and return the best ones by `aic`; all else is as in `fit_references`.

    Combinations in which a reference weighs nothing are left out: the smaller one without it is the same fit.
    """
    data = _select(measured, e0, components, (low, high), sum_to_one, max_shift)
    curves = {reference.name: _curve(reference, data) for reference in references}
    fits = [
        _fit(data, chosen, [curves[name] for name in chosen])
        for size in range(1, components + 1)
        for chosen in combinations(curves, size)
    ]
    return tuple(sorted((fit for fit in fits if min(fit.weights) > LEAST), key=lambda fit: fit.aic)[:most])


def read_references(places: Sequence[Path], edge: str, leave_out: Path | None = None) -> list[Reference]:
    """Read references at an edge from files, and from folders all spectra in them; one file may be left out.

    Raises SpectrumError, naming the file or folder, where there is no spectrum, one is of another edge, or two have one name.
    """
    found: dict[str, Reference] = {}
    for place in places:
        files = sorted(path for path in place.iterdir() if path.suffix.lower() in ENDINGS) if place.is_dir() else [place]
        files = [path for path in files if leave_out is None or path.resolve() != leave_out.resolve()]
        if not files:
            raise SpectrumError(f"{place}: no reference here; give a spectrum, or a folder of files {', '.join(ENDINGS)}")
        for path in files:
            if path.name in found:
                raise SpectrumError(f"{path}: another reference is called {path.name} too; rename one, or give it once")
            found[path.name] = Reference(path.name, _read(path, edge))
    return list(found.values())


def _read(path: Path, edge: str) -> Absorption:
    wanted, spectrum = find_edge(edge), read_spectrum(path)
    said = spectrum.metadata.get("edge")
    if said is not None and find_edge(str(said)) != wanted:
        raise SpectrumError(f"{path}: the file is of the {said} edge, not of the {wanted} edge; leave it out")
    try:
        reduced = absorption(spectrum)
        e0 = normalize(reduced).e0
    except SpectrumError as error:
        raise SpectrumError(f"{path}: {error}") from error
    if abs(e0 - wanted.energy) > FARTHEST:
        raise SpectrumError(
            f"{path}: its edge at {e0:.1f} eV is not the {wanted} edge at {wanted.energy:.1f} eV; leave it out"
        )
    return reduced


def _select(
    measured: Absorption, e0: float | None, components: int, window: tuple[float, float], sum_to_one: bool, max_shift: float
) -> _Data:
    if max_shift < 0:
        raise SettingsError(f"max_shift is {max_shift:g} eV; give 0 for no shift, or how far references may be shifted")
    found, (low, high) = normalize(measured, e0=e0), window
    inside = (found.energy >= found.e0 + low) & (found.energy <= found.e0 + high)
    if inside.sum() < (needed := MIN_POINTS + components):
        raise SpectrumError(
            f"{inside.sum()} points from {low:g} to {high:g} eV of e0 = {found.e0:.1f} eV, at least {needed} are "
            f"needed to fit {components} references; measure more there or fit a wider range"
        )
    variance = distinct_points(measured)[2][inside] / found.edge_step**2
    span = (float(found.energy[0]), float(found.energy[-1]))
    return _Data(found.e0, span, found.energy[inside], found.norm[inside], variance, sum_to_one, max_shift)


def _curve(reference: Reference, data: _Data) -> Akima1DInterpolator:
    """Return a reference's normalized spectrum as a function of energy (eV)."""
    energy, mu, variance = distinct_points(reference.absorption)
    low, high = data.energy[0] - data.max_shift, data.energy[-1] + data.max_shift
    if energy[0] > low or energy[-1] < high:
        raise SpectrumError(
            f"reference {reference.name}: it covers {energy[0]:.1f} to {energy[-1]:.1f} eV, the fit needs {low:.1f} to "
            f"{high:.1f} eV; leave it out or fit a narrower range"
        )
    first = max(int(np.searchsorted(energy, min(data.span[0], low), side="right")) - 1, 0)
    common = slice(first, int(np.searchsorted(energy, max(data.span[1], high))) + 1)
    try:
        found = normalize(Absorption(energy[common], mu[common], variance[common]), e0=data.e0)
    except SpectrumError as error:
        raise SpectrumError(f"reference {reference.name}: {error}") from error
    return Akima1DInterpolator(found.energy, found.norm, method="makima")


def _fit(data: _Data, names: tuple[str, ...], curves: Sequence[Akima1DInterpolator]) -> Fit:
    def misfit(shift: float) -> float:
        terms = _terms(data, curves, shift)
        return float(((data.norm - terms @ _weights(data, terms)) ** 2).sum())

    shift = 0.0
    if data.max_shift > 0:
        coarse = np.linspace(-data.max_shift, data.max_shift, 2 * int(np.ceil(data.max_shift / SHIFT_STEP)) + 1)
        best = min(coarse, key=misfit)
        bounds = max(best - SHIFT_STEP, -data.max_shift), min(best + SHIFT_STEP, data.max_shift)
        found: Any = minimize_scalar(misfit, bounds=bounds, method="bounded", options={"xatol": 1e-6})
        shift = float(found.x)
    terms = _terms(data, curves, shift)
    weights = _weights(data, terms)
    left = data.norm - terms @ weights
    slopes = np.stack([curve(data.energy - shift, nu=1) for curve in curves], axis=-1)
    directions = null_space(np.ones((1, len(curves)))) if data.sum_to_one else np.eye(len(curves))
    changes = np.column_stack([terms @ directions, *([-slopes @ weights] if data.max_shift > 0 else [])])
    points, variables = len(left), changes.shape[1]
    chi_square = float(left @ left)
    reduced = chi_square / (points - variables)
    gain = np.linalg.pinv(changes)
    covariance = (gain * np.maximum(reduced, data.variance)) @ gain.T
    of_weights = directions @ covariance[: directions.shape[1], : directions.shape[1]] @ directions.T
    return Fit(
        references=names,
        weights=tuple(weights.tolist()),
        errors=tuple(np.sqrt(np.diag(of_weights)).tolist()),
        shift=shift,
        shift_error=float(np.sqrt(covariance[-1, -1])) if data.max_shift > 0 else 0.0,
        r_factor=chi_square / float(data.norm @ data.norm),
        chi_square=chi_square,
        reduced_chi_square=reduced,
        aic=points * float(np.log(max(chi_square / points, np.finfo(float).tiny))) + 2 * variables,
        points=points,
    )


def _terms(data: _Data, curves: Sequence[Akima1DInterpolator], shift: float) -> Array:
    return np.stack([curve(data.energy - shift) for curve in curves], axis=-1)


def _weights(data: _Data, terms: Array) -> Array:
    """Return the weights (k,), at least 0, that leave the least squares."""
    if not data.sum_to_one:
        return nnls(terms, data.norm)[0]
    # where the weights sum to 1, what is left is (terms − data) · weights: its least size on that plane lies in the same
    # direction as that of a problem without the condition in which a sum other than 1 costs something
    cost = float(np.linalg.norm(data.norm))
    weights = nnls(np.vstack([terms - data.norm[:, None], np.full(terms.shape[1], cost)]), np.append(0 * data.norm, cost))[0]
    return weights / weights.sum()
