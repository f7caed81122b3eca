"""Every explanation of a measured spectrum: each candidate, and none of them, at each energy shift and broadening."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from xas_bluesky.comparison.gap import Gap
from xas_bluesky.comparison.provisional import Structure
from xas_bluesky.comparison.regression import mixture_moments
from xas_bluesky.comparison.tables import Tables
from xas_bluesky.spectra import Array, PredictedSpectra

NONE_PRIOR = 0.1
SHIFT_STEPS = (0.15, 1.0)
"""The shift's grid has steps of a quarter of its standard deviation, within these bounds (eV)."""
SHIFT_REACH = 3.0
"""It reaches this many standard deviations to each side."""
KIND_STRIDE = 3
"""Kinds of "none of these" are broad: every third shift does for them."""
OFFSET_SD, SLOPE_SD = 0.2, 0.1
"""What a provisional normalization leaves unknown: offset, and slope over SLOPE_SPAN, in edge steps."""
SLOPE_SPAN = 30.0
TELLING = np.log(1000.0)
"""Two members can be told apart when a complete scan is expected to favour the right one by 1000 to 1.

Less would trust the gap's form too far: evidence ratios on measured spectra are off by a few nats.
"""
PROBE_STEP = 0.6
PROBE_SHIFTS = 8
"""About so many shifts stand for all where only moments are asked for."""
ONSET = 0.05
"""A spectrum begins where it reaches this, in edge jumps."""
BEYOND = 8.0
"""From so many eV above the ionization energy on, a spectrum counts as flat."""
SURELY = 1.5
"""Margin for the shift, in standard deviations."""
RIVALS = 8
"""A kind is compared with this many of the candidates most like it."""

Index = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Hypotheses:
    """Lay out linear-Gaussian models: measured = mean + features · unit normal + independent error.

    There is one for each member (a candidate, or after the `names` a kind of "none of these"), shape (a distortion of the
    gap) and shift (s,) eV, measured − predicted, numbered in this order; `log_prior` (h,), -inf where one is not considered.
    """

    names: tuple[str, ...]
    structure: Structure
    gap: Gap
    tables: Tables
    shifts: Array
    log_prior: Array

    @property
    def size(self) -> tuple[int, int, int]:
        """Return the number of members, shapes and shifts."""
        shapes, shifts = len(self.tables.shapes), len(self.shifts)
        return len(self.log_prior) // (shapes * shifts), shapes, shifts

    @property
    def possible(self) -> Index:
        """Return those that are considered."""
        return np.flatnonzero(np.isfinite(self.log_prior))

    def member(self, chosen: Index) -> Index:
        """Return the members that hypotheses are of."""
        return np.unravel_index(chosen, self.size)[0]

    def of_member(self, member: int) -> Index:
        """Return a member's hypotheses."""
        _, shapes, shifts = self.size
        chosen = np.arange(member * shapes * shifts, (member + 1) * shapes * shifts)
        return chosen[np.isfinite(self.log_prior[chosen])]

    def design(self, energy: Array, chosen: Index) -> tuple[Array, Array]:
        """Return the means (h, n) and features (h, n, r) of the chosen ones at measured energies (n,)."""
        member, shape, shift = np.unravel_index(chosen, self.size)
        mean, features = self.tables.design(member, shape, self.shifts[shift], energy)
        return mean, np.concatenate([features, np.broadcast_to(self.baseline(energy), (*mean.shape, 2))], axis=-1)

    def baseline(self, energy: Array) -> Array:
        """Return the features (n, 2) that all have in common: what the provisional normalization leaves of a baseline."""
        return np.stack([OFFSET_SD * np.ones_like(energy), SLOPE_SD * (energy - self.structure.step) / SLOPE_SPAN], axis=-1)

    def fine_variance(self, energy: Array) -> Array:
        """Return the variance (n,) of the fine error at measured energies (n,), in all hypotheses the same."""
        return np.interp(energy - self.gap.shift, self.tables.grid, self.tables.fine_sd) ** 2

    def fine_error(self, energy: Array) -> Array:
        """Return the variance (n,) that the fine error adds to the cells (n,) of a scan; what they share is counted once."""
        return self.fine_variance(energy) * self.gap.alike(energy, energy).sum(axis=1)

    def predictive(self, energy: Array, member: int) -> tuple[Array, Array]:
        """Return what a noise-free scan would give for a member: mean (n,) and covariance (n, n)."""
        chosen = self.of_member(member)
        chosen = chosen[chosen % len(self.shifts) % max(len(self.shifts) // PROBE_SHIFTS, 1) == 0]
        prior = np.exp(self.log_prior[chosen] - self.log_prior[chosen].max())
        prior /= prior.sum()
        _, shape, shift = np.unravel_index(chosen, self.size)
        seen = self.tables.design(np.full(len(chosen), member), shape, self.shifts[shift], energy)
        center, covariance = mixture_moments(prior, *seen)
        baseline = self.baseline(energy)
        return center, covariance + baseline @ baseline.T + np.diag(self.fine_error(energy))


def make_hypotheses(predicted: PredictedSpectra, population: PredictedSpectra, gap: Gap) -> Hypotheses:
    """Lay out every hypothesis: the candidates share the prior that "none of these" leaves.

    `population`: the kinds of spectra that "none of these" may turn out to be, each with its spread. A kind that could
    not be told from some candidate is left out: a compound of that kind belongs to the candidate's group.
    """
    named, kinds = len(predicted), len(population)
    everything = lay_out(predicted, population, gap, none_of_these=True)
    energy = np.arange(predicted.energy[0], predicted.energy[-1], PROBE_STEP)
    other = np.array([_told_apart(everything, kind, energy) for kind in range(kinds)])
    share = np.full(named + kinds, -np.inf)
    share[:named] = np.log((1 - NONE_PRIOR) / named)
    share[named:][other] = np.log(NONE_PRIOR / max(other.sum(), 1)) + gap.favour_none
    log_prior = everything.log_prior.reshape(everything.size) + share[:, None, None]
    return Hypotheses(everything.names, everything.structure, gap, everything.tables, everything.shifts, log_prior.ravel())


def lay_out(predicted: PredictedSpectra, population: PredictedSpectra, gap: Gap, *, none_of_these: bool) -> Hypotheses:
    """Lay out the hypotheses of each candidate, and of each kind of `population` if wanted; every member's prior is 1."""
    reach = SHIFT_REACH * gap.shift_sd
    step = float(np.clip(gap.shift_sd / 4, *SHIFT_STEPS))
    shifts = gap.shift + np.arange(-reach, reach + step / 2, step)
    log_shift = -0.5 * ((shifts - gap.shift) / gap.shift_sd) ** 2
    of_kind = np.where(np.arange(len(shifts)) % KIND_STRIDE == (len(shifts) // 2) % KIND_STRIDE, log_shift, -np.inf)
    if not none_of_these:
        of_kind = np.full(len(shifts), -np.inf)
    tables = Tables(predicted, population, gap)
    shapes = len(tables.shapes)
    log_prior = np.empty((len(predicted) + len(population), shapes, len(shifts)))
    log_prior[: len(predicted)] = log_shift - np.logaddexp.reduce(log_shift) - np.log(shapes)
    log_prior[len(predicted) :] = of_kind - np.log(shapes)
    if none_of_these:
        log_prior[len(predicted) :] -= np.logaddexp.reduce(of_kind)
    structure = _structure(predicted, population, tables)
    return Hypotheses(predicted.candidate, structure, gap, tables, shifts, log_prior.ravel())


def expected_log_ratio(first: tuple[Array, Array], second: tuple[Array, Array]) -> float:
    """Return how much a scan drawn from the first (mean, covariance) is expected to favour it over the second, in nats.

    This is the Kullback–Leibler divergence of two Gaussians.
    """
    (mean, covariance), (other_mean, other_covariance) = first, second
    inverse = np.linalg.inv(other_covariance)
    apart = mean - other_mean
    determinants = np.linalg.slogdet(other_covariance)[1] - np.linalg.slogdet(covariance)[1]
    return float(0.5 * (np.vdot(inverse, covariance) + apart @ inverse @ apart - len(mean) + determinants))


def _structure(predicted: PredictedSpectra, population: PredictedSpectra, tables: Tables) -> Structure:
    """Return where the predicted spectra, and those of the population, rise from nothing and end, as measured."""
    gap = tables.gap
    known = population.supported
    highest = np.maximum(predicted.mean.max(axis=0), population.mean[known].max(axis=0, initial=0.0))
    onset = float(predicted.energy[np.argmax(highest > ONSET)])
    margin = SURELY * gap.shift_sd
    step = float(np.median(predicted.ionization)) + gap.shift
    high = min(step + BEYOND, float(predicted.energy[-1])) + margin
    return Structure(
        onset + gap.shift - margin, high, step, tables.grid + gap.shift, tables.continued(predicted.mean.mean(axis=0))
    )


def _told_apart(everything: Hypotheses, kind: int, energy: Array) -> bool:
    """Say whether a kind can be told from each candidate, if that is the truth."""
    tables, named = everything.tables, len(everything.names)
    alike = np.abs(tables.spectra.mean - tables.population.mean[kind]).sum(axis=1).argsort()[:RIVALS]
    of_kind = everything.predictive(energy, named + kind)
    return all(expected_log_ratio(everything.predictive(energy, int(one)), of_kind) > TELLING for one in alike)
