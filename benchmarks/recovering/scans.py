"""Ways to choose the points of a spectrum that is not known: ours, and what it is compared with.

Each is a generator of what was chosen so far (places of the grid) and the spectrum recovered from it, decision by decision.
"""

from collections.abc import Callable, Iterator

import numpy as np
from scipy.linalg import cho_factor, cho_solve, solve_triangular
from scipy.ndimage import gaussian_filter1d
from scipy.signal import find_peaks, peak_widths

from recovering.hindsight import even, interpolated
from recovering.measured import Reference
from xas_bluesky.decision.recovery import FEWEST, next_energies, recover
from xas_bluesky.spectra import Absorption, Array

Scan = Callable[[Reference], Iterator[tuple[Array, Array]]]
COARSE = 10
LENGTHS = (1.5, 2.0, 3.0, 4.0, 5.0, 7.0, 10.0, 14.0)
"""eV: of the Matérn kernel; the most likely one is taken, at each step."""
LOWEST_WEIGHT, SHAPE_DECAY = 0.03, 0.999
WEIGHTED_AFTER, WEIGHT_DECAY, FLOOR, GAIN, OFFSET = 5, 0.95, 0.01, 3.0, 2.0
EDGE_SMOOTHING = 3.0


def ours(batch: int) -> Scan:
    """Return our scan, `batch` points to a decision; it is told the tabulated edge."""

    def scan(reference: Reference) -> Iterator[tuple[Array, Array]]:
        chosen = np.empty(0, dtype=int)
        while len(chosen) < len(reference.energy):
            points = reference.points(chosen)
            count = batch if len(chosen) >= FEWEST else len(reference.energy)
            energy = next_energies(points, reference.energy, reference.tabulated, count)
            chosen = np.append(chosen, np.searchsorted(reference.energy, energy))
            yield chosen, recover(reference.points(chosen), reference.energy).mu

    return scan


def uniform(reference: Reference) -> Iterator[tuple[Array, Array]]:
    """Measure ever more evenly spaced points, each time from the start; through them a cubic spline."""
    for count in range(COARSE, len(reference.energy) + 1):
        chosen = even(reference, count)
        yield chosen, interpolated("cubic", reference, chosen[None])[0]


def bisection(reference: Reference) -> Iterator[tuple[Array, Array]]:
    """Halve the interval where two interpolants, a cubic spline and PCHIP, disagree most (root of the integrated square)."""
    chosen = even(reference, COARSE)
    while len(chosen) < len(reference.energy):
        cubic, pchip = (interpolated(kind, reference, chosen[None])[0] for kind in ("cubic", "pchip"))
        yield chosen, cubic
        error = np.add.reduceat((cubic - pchip) ** 2, chosen[:-1])
        error[np.diff(chosen) < 2] = -1.0
        widest = int(error.argmax())
        chosen = np.sort(np.append(chosen, (chosen[widest] + chosen[widest + 1]) // 2))


def gaussian_process(reference: Reference) -> Iterator[tuple[Array, Array]]:
    """Measure one by one where a Gaussian process is unsure and the spectrum bends or rises (arXiv 2504.17124).

    In that manner: Matérn 5/2; the standard deviation less its minimum, times the slope and curvature of the mean (each
    weighted at the start to half of the largest standard deviation), at least a floor; after five points reweighted about
    the edge and the white line, ever less. Assumed here: ten even points first, the kernel's length and size by evidence,
    no reference spectra of the sample (their term is left out). It yields the mean of the process, and a cubic spline
    through the points as well: the better one counts.
    """
    energy = reference.energy
    chosen, first, weight = even(reference, COARSE), (0.0, 0.0), np.ones(len(energy))
    taken = 0
    while len(chosen) < len(energy):
        mean, deviation = _posterior(reference.points(chosen), energy)
        yield chosen, mean
        yield chosen, interpolated("cubic", reference, np.sort(chosen)[None])[0]
        shape = np.abs(np.gradient(mean)), np.abs(np.gradient(np.gradient(mean)))
        if taken == 0:
            first = tuple(0.5 * deviation.max() / max(part.max(), 1e-12) for part in shape)
        if taken == WEIGHTED_AFTER:
            weight = _edge_weight(energy, mean)
        lively = sum(SHAPE_DECAY**taken * scale * part for scale, part in zip(first, shape, strict=True))
        share = WEIGHT_DECAY**taken
        score = (deviation - deviation.min()) * np.maximum(lively, LOWEST_WEIGHT) * (share * weight + 1 - share)
        score[chosen] = -1.0
        chosen = np.append(chosen, int(score.argmax()))
        taken += 1


def _posterior(points: Absorption, energy: Array) -> tuple[Array, Array]:
    centre, size = float(points.mu.mean()), float(points.mu.var())
    misfit, apart = points.mu - centre, np.abs(points.energy[:, None] - points.energy)
    noise = np.diag(points.variance / size + 1e-6)

    def log_evidence(length: float) -> float:
        factor = cho_factor(_matern(apart / length) + noise, lower=True)
        quadratic = float(misfit @ cho_solve(factor, misfit))
        return -0.5 * len(misfit) * np.log(quadratic) - float(np.log(np.diag(factor[0])).sum())

    length = max(LENGTHS, key=log_evidence)
    factor = np.linalg.cholesky(_matern(apart / length) + noise)
    known = solve_triangular(factor, _matern(np.abs(points.energy[:, None] - energy) / length), lower=True)
    solved = solve_triangular(factor, misfit, lower=True)
    left = np.sqrt(np.maximum(1 - (known**2).sum(axis=0), 0.0) * float(solved @ solved) / len(misfit))
    return centre + known.T @ solved, left


def _matern(distance: Array) -> Array:
    scaled = np.sqrt(5.0) * distance
    return (1 + scaled + scaled**2 / 3) * np.exp(-scaled)


def _edge_weight(energy: Array, mean: Array) -> Array:
    """Return a weight that rises 1.6 edge widths below the edge and has a bump two widths above it, on the white line."""
    step = energy[1] - energy[0]
    rise = np.gradient(gaussian_filter1d(mean, EDGE_SMOOTHING / step))
    peaks, found = find_peaks(rise, height=0.0)
    peak = peaks[[int(found["peak_heights"].argmax())]] if len(peaks) else np.array([int(rise.argmax())])
    width = max(float(peak_widths(rise, peak)[0][0]) * step, 1.0)
    away = (energy - energy[peak[0]]) / width
    rising = 1 / (1 + np.exp(-np.clip(10 * (away + 1.6), -50, 50)))
    return FLOOR + (1 - FLOOR) * (rising + GAIN * np.exp(-0.5 * (away - OFFSET) ** 2))
