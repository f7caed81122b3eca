"""Every explanation of a measured spectrum: each candidate, and none of them, at each energy shift and broadening."""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter1d

from xas_bluesky.comparison.gap import Gap
from xas_bluesky.errors import CandidateError
from xas_bluesky.spectra import FWHM, Array, PredictedSpectra

NONE = -1
"""The candidate index of "none of these"."""
NONE_PRIOR = 0.1
SHIFT_STEP = 0.25
SHIFT_REACH = 3.0
"""The shift's grid reaches this many standard deviations to each side."""
GRID_STEP = 0.1
RANK = 48
"""Features kept per spectrum: those left out hold less than the gap's fine error."""
MARGIN = 60.0
"""The tables reach this far (eV) beyond the predictions, where the spectrum is baseline and atomic continuum."""
FADE = 2.0
"""Beyond the predictions the spectrum fades to the atomic jump over about this many eV."""
SCALE_SD, OFFSET_SD, SLOPE_SD = 0.2, 0.2, 0.1
"""What a provisional normalization leaves unknown: relative edge step; offset and slope over SLOPE_SPAN, in edge steps."""
SLOPE_SPAN = 30.0
TELLING = np.log(1000.0)
"""Two members can be told apart when a complete, noise-free scan is expected to favour the right one by 1000 to 1.

Less would trust the gap's form too far: evidence ratios on measured spectra are off by a few nats.
"""
PROBE_STEP = 0.6
MOST = 200
"""Candidates compared at once: each takes about 20 MB."""


@dataclass(frozen=True, slots=True)
class Hypotheses:
    """Hold h hypotheses as linear-Gaussian models: measured = mean + features · unit normal + independent error.

    `member` (h,): index into `names`, or from len(names) on, a kind of "none of these"; `shift` (h,) eV; `log_prior` (h,);
    `table` (t, m, 1 + r) mean and features on the evenly spaced `grid` (m,) eV; `row` (h,) each hypothesis' row of it.
    """

    names: tuple[str, ...]
    edge_energy: float
    gap: Gap
    member: NDArray[np.int64]
    shift: Array
    log_prior: Array
    row: NDArray[np.int64]
    grid: Array
    table: Array

    @property
    def candidate(self) -> NDArray[np.int64]:
        """Return each hypothesis' candidate (h,), an index into `names` or NONE."""
        return np.where(self.member < len(self.names), self.member, NONE)

    def design(self, energy: Array, chosen: NDArray[np.int64] | None = None) -> tuple[Array, Array]:
        """Return the means (h, n) and features (h, n, r) at measured energies, for all hypotheses or the chosen ones."""
        which = np.arange(len(self.shift)) if chosen is None else chosen
        place = (energy - self.shift[which, None] - self.grid[0]) / GRID_STEP
        place = np.clip(place, 0, len(self.grid) - 2)
        below = place.astype(np.int64)
        part = (place - below)[..., None]
        rows = self.row[which, None]
        values = (1 - part) * self.table[rows, below] + part * self.table[rows, below + 1]
        baseline = np.stack([OFFSET_SD * np.ones_like(energy), SLOPE_SD * (energy - self.edge_energy) / SLOPE_SPAN], axis=-1)
        shape = (*values.shape[:2], 2)
        return values[..., 0], np.concatenate([values[..., 1:], np.broadcast_to(baseline, shape)], axis=-1)

    def predictive(self, energy: Array, members: NDArray[np.int64]) -> tuple[Array, Array]:
        """Return what a noise-free scan would give for each of some members: mean (k, n) and covariance (k, n, n)."""
        means, covariances = [], []
        for member in members:
            chosen = np.flatnonzero(self.member == member)
            prior = np.exp(self.log_prior[chosen] - self.log_prior[chosen].max())
            prior /= prior.sum()
            mean, features = self.design(energy, chosen)
            center = prior @ mean
            off = (mean - center) * np.sqrt(prior)[:, None]
            weighted = (features * np.sqrt(prior)[:, None, None]).transpose(1, 0, 2).reshape(len(energy), -1)
            means.append(center)
            covariances.append(weighted @ weighted.T + off.T @ off + self.gap.fine_sd**2 * np.eye(len(energy)))
        return np.array(means), np.array(covariances)


def make_hypotheses(predicted: PredictedSpectra, population: PredictedSpectra, gap: Gap, edge_energy: float) -> Hypotheses:
    """Lay out every hypothesis: the candidates share the prior that "none of these" leaves.

    `population`: the kinds of spectra that "none of these" may turn out to be, each with its spread. A kind that could
    not be told from some candidate is left out: a compound of that kind belongs to the candidate's group. Raises
    CandidateError for more than MOST candidates.
    """
    if len(predicted) > MOST:
        raise CandidateError(f"{len(predicted)} candidates: at most {MOST} are compared at once; split the list")
    everything = lay_out(predicted, population, gap, edge_energy, none_of_these=True)
    named, count = len(predicted), len(predicted) + len(population)
    energy = np.arange(predicted.energy[0], predicted.energy[-1], PROBE_STEP)
    favoured = expected_log_ratio(*everything.predictive(energy, np.arange(count)))[:named, named:]
    kinds = named + np.flatnonzero(favoured.min(axis=0) > TELLING)
    kept = np.flatnonzero((everything.member < named) | np.isin(everything.member, kinds))
    member = everything.member[kept]
    share = np.where(member < named, np.log((1 - NONE_PRIOR) / named), np.log(NONE_PRIOR / max(len(kinds), 1)))
    return replace(
        everything,
        member=member,
        shift=everything.shift[kept],
        log_prior=everything.log_prior[kept] + share,
        row=everything.row[kept],
    )


def lay_out(
    predicted: PredictedSpectra, population: PredictedSpectra, gap: Gap, edge_energy: float, *, none_of_these: bool
) -> Hypotheses:
    """Lay out the hypotheses of each candidate, and of each kind of `population` if wanted; every member's prior is 1."""
    grid = np.arange(predicted.energy[0] - MARGIN, predicted.energy[-1] + MARGIN, GRID_STEP)
    reach = SHIFT_REACH * gap.shift_sd
    shifts = gap.shift + np.arange(-reach, reach + SHIFT_STEP / 2, SHIFT_STEP)
    log_shift = -0.5 * ((shifts - gap.shift) / gap.shift_sd) ** 2
    tables = _tables(predicted, _spreads(predicted, population), grid, gap)
    if none_of_these:
        tables += _tables(population, population.factors, grid, gap)
    forms = len(gap.distortions())
    rows = np.arange(len(tables))
    return Hypotheses(
        names=predicted.candidate,
        edge_energy=edge_energy,
        gap=gap,
        member=np.repeat(rows // forms, len(shifts)),
        shift=np.tile(shifts, len(rows)),
        log_prior=np.tile(log_shift - np.log(forms * np.exp(log_shift).sum()), len(rows)),
        row=np.repeat(rows, len(shifts)),
        grid=grid,
        table=np.array(tables),
    )


def expected_log_ratio(means: Array, covariances: Array) -> Array:
    """Return (k, k): how much a scan drawn from the first member is expected to favour it over the second, in nats.

    This is the Kullback–Leibler divergence of their Gaussian predictive distributions.
    """
    count, size = means.shape
    inverses = np.linalg.inv(covariances)
    log_determinant = np.linalg.slogdet(covariances)[1]
    ratio = np.zeros((count, count))
    for first in range(count):
        for second in range(count):
            apart = means[first] - means[second]
            mixed = np.vdot(inverses[second], covariances[first]) + apart @ inverses[second] @ apart
            ratio[first, second] = 0.5 * (mixed - size + log_determinant[second] - log_determinant[first])
    return ratio


def _spreads(predicted: PredictedSpectra, population: PredictedSpectra) -> Array:
    """Return for each candidate how the compounds of the kind most like it differ among themselves (n, r, m)."""
    kinds = np.flatnonzero(population.supported)
    apart = np.abs(predicted.mean[:, None] - population.mean[kinds]).sum(axis=-1)
    return population.factors[kinds[apart.argmin(axis=1)]]


def _tables(spectra: PredictedSpectra, spreads: Array, grid: Array, gap: Gap) -> list[Array]:
    """Return each spectrum in each of the gap's distortions (m, 1 + r): continued to the grid, with its error's features."""
    tables: list[Array] = []
    beyond = np.maximum(grid - spectra.energy[-1], 0.0)
    all_factors = np.concatenate([spectra.factors, gap.spread * spreads], axis=1)
    for mean, factors, ionization in zip(spectra.mean, all_factors, spectra.ionization, strict=True):
        whole = 1 + (np.interp(grid, spectra.energy, mean, left=0.0) - 1) * np.exp(-beyond / FADE)
        errors = np.array([np.interp(grid, spectra.energy, factor, left=0.0, right=0.0) for factor in factors])
        for width, reabsorbed in gap.distortions():
            sigma = width / FWHM / GRID_STEP
            smoothed = gaussian_filter1d(whole, sigma, mode="nearest")
            damped = 1 + reabsorbed * smoothed
            seen = (1 + reabsorbed) * smoothed / damped
            errors_seen = gaussian_filter1d(errors, sigma, axis=-1, mode="nearest") * (1 + reabsorbed) / damped**2
            features = np.concatenate([SCALE_SD * seen[None], gap.features(grid, seen, float(ionization)), errors_seen])
            tables.append(np.column_stack([seen, _leading(features).T]))
    return tables


def _leading(features: Array) -> Array:
    """Return the RANK directions (RANK, m) that hold most of the features' (r, m) covariance along energy."""
    sizes, directions = np.linalg.eigh(features @ features.T)
    rotated = directions[:, ::-1][:, :RANK].T @ features
    return np.pad(rotated, ((0, max(RANK - len(sizes), 0)), (0, 0)))
