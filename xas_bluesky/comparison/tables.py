"""Spectra as they would be measured, with everything theory gets wrong about them as features: made when first asked for."""

from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter1d

from xas_bluesky.comparison.gap import Gap
from xas_bluesky.spectra import FWHM, Array, PredictedSpectra

GRID_STEP = 0.2
MARGIN = 12.0
"""The tables reach this far (eV) beyond the predictions; farther out a spectrum stays what it is at their ends."""
FADE = 2.5
"""Beyond what is predicted a spectrum goes to the atomic jump over about this many eV, as computed ones do."""
STEADY = 1e-5
"""A prediction that changes less from one energy to the next says no more: it was continued by its last value."""
SCALE_SD = 0.2
"""What a provisional normalization leaves unknown of the edge step, relative."""
RANK = 30
"""Features kept per spectrum at most; fewer where those left out hold less than LEFT of the gap's fine error."""
LEFT = 0.5
SAMPLED = 24
"""Members, evenly spread over their list, by which the number of features is chosen."""

ROOM = 2000
"""Tables there is room for at first; memory is taken as they are made."""

Index = NDArray[np.int64]


class Tables:
    """Tabulate members, the candidates and after them the kinds of "none of these", in each of the gap's distortions.

    `grid` (m,) eV, evenly spaced; `shapes`: the distortions; `rank`: features of each spectrum.
    """

    def __init__(self, spectra: PredictedSpectra, population: PredictedSpectra, gap: Gap) -> None:
        self.spectra, self.population, self.gap = spectra, population, gap
        self.shapes = gap.distortions()
        self.grid = np.arange(spectra.energy[0] - MARGIN, spectra.energy[-1] + MARGIN, GRID_STEP)
        self.rank = self._needed_rank()
        self._row = np.full(len(spectra) + len(population), -1)
        self._count = 0
        self._store = np.zeros((min(ROOM, len(self._row)), len(self.shapes), len(self.grid), 1 + self.rank))

    def prepare(self, members: Index) -> None:
        """Make the tables of members that have none yet."""
        for missing in np.unique(members[self._row[members] < 0]):
            self._make(int(missing))

    def within_reach(self, members: Index, new: int) -> NDArray[np.bool_]:
        """Say which of some members have tables, or are the first so many (`new`) that have none."""
        missing = members[self._row[members] < 0]
        _, first = np.unique(missing, return_index=True)
        return (self._row[members] >= 0) | np.isin(members, missing[np.sort(first)[:new]])

    def design(self, member: Index, shape: Index, shift: Array, energy: Array) -> tuple[Array, Array]:
        """Return means (h, n) and features (h, n, rank) at energies (n,) of members (h,) in shapes (h,), shifted (h,)."""
        self.prepare(member)
        values = self.look_up(self._store, self._row[member], shape, shift, energy)
        return values[..., 0], values[..., 1:]

    @cached_property
    def fine_sd(self) -> Array:
        """The fine error (m,) that all members have in common, one standard deviation."""
        std = self.spectra.std
        usual = np.sqrt(np.einsum("nk,nk->k", std, std) / len(std))
        return np.hypot(self.gap.fine_sd, self.gap.fine_share * np.interp(self.grid, self.spectra.energy, usual))

    def look_up(self, store: Array, row: Index, shape: Index, shift: Array, energy: Array) -> Array:
        """Return what tables (rows, shapes, m, k) say (h, n, k) at measured energies (n,), in rows, shapes and shifts (h,)."""
        place = np.clip((energy - shift[:, None] - self.grid[0]) / GRID_STEP, 0, len(self.grid) - 1.001)
        below = place.astype(np.int64)
        entries = store.reshape(-1, store.shape[-1])
        entry = below + ((row * store.shape[1] + shape) * store.shape[2])[:, None]
        values, steps = entries.take(entry, axis=0), entries.take(entry + 1, axis=0)
        steps -= values
        steps *= (place - below)[..., None]
        values += steps
        return values

    def distorted(self, whole: Array, changes: Array) -> list[tuple[Array, Array, float]]:
        """Return a spectrum (m,) on the grid, small changes of it (r, m), as seen in each shape, and how loose that is."""
        found: list[tuple[Array, Array, float]] = []
        broadened = {width: (_broadened(whole, width), _broadened(changes, width)) for width in self.gap.widths}
        for width, reabsorbed, loose in self.shapes:
            smoothed, changed = broadened[width]
            damped = 1 + reabsorbed * smoothed
            found.append(((1 + reabsorbed) * smoothed / damped, changed * ((1 + reabsorbed) / damped**2), loose))
        return found

    def continued(self, mean: Array) -> Array:
        """Return a predicted spectrum (k,) on the grid; from where it changes no more it goes to the atomic jump."""
        energy = self.spectra.energy
        changing = np.flatnonzero(np.abs(np.diff(mean)) > STEADY)
        end = energy[changing[-1] + 1] if len(changing) else energy[-1]
        fading = np.exp(-np.maximum(self.grid - end, 0.0) / FADE)
        return 1 + (np.interp(self.grid, energy, mean, left=0.0) - 1) * fading

    def features(self, member: int) -> tuple[Array, Array]:
        """Return a member's spectrum (m,) and all that theory may get wrong about it (r, m), undistorted."""
        candidates = len(self.spectra)
        source, place = (self.spectra, member) if member < candidates else (self.population, member - candidates)
        factors = source.factors[place] * (self.gap.network if member < candidates else 1.0)
        if self.gap.spread > 0:
            spread = self.population.factors[self._nearest[member]] if member < candidates else factors
            factors = np.concatenate([factors, self.gap.spread * spread])
        whole = self.continued(source.mean[place])
        correlated = self.gap.features(self.grid, whole, float(source.ionization[place]))
        return whole, np.concatenate([correlated, interpolated(self.grid, self.spectra.energy, factors)])

    def _make(self, member: int) -> None:
        if self._count == len(self._store):
            self._store = np.concatenate([self._store, np.zeros_like(self._store)])
        whole, features = self.features(member)
        for shape, (seen, changes, loose) in enumerate(self.distorted(whole, leading(features, self.rank - 1))):
            self._store[self._count, shape] = np.column_stack([seen, SCALE_SD * seen, loose * changes.T])
        self._row[member] = self._count
        self._count += 1

    @cached_property
    def _nearest(self) -> Index:
        """The kind (n,) most like each candidate: how its compounds differ is how theory errs."""
        kinds = np.flatnonzero(self.population.supported)
        apart = np.array([np.abs(self.spectra.mean - self.population.mean[kind]).sum(axis=1) for kind in kinds])
        return kinds[apart.argmin(axis=0)]

    def _needed_rank(self) -> int:
        members = len(self.spectra) + len(self.population)
        sampled = np.unique(np.linspace(0, members - 1, SAMPLED).astype(np.int64))
        return 1 + max(_rank(self.features(int(member))[1], LEFT * self.fine_sd) for member in sampled)


def interpolated(grid: Array, energy: Array, values: Array) -> Array:
    """Interpolate values (r, k) at increasing energies (k,) to the grid (m,); zero outside."""
    above = np.clip(np.searchsorted(energy, grid), 1, len(energy) - 1)
    part = (grid - energy[above - 1]) / (energy[above] - energy[above - 1])
    inside = (part >= 0) & (part <= 1)
    return ((1 - part) * values[:, above - 1] + part * values[:, above]) * inside


def _broadened(values: Array, width: float) -> Array:
    return gaussian_filter1d(values, width / FWHM / GRID_STEP, axis=-1, mode="nearest") if width > 0 else values


def leading(features: Array, rank: int) -> Array:
    """Return the directions (rank, m) that hold most of the features' (r, m) covariance along energy."""
    _, directions = np.linalg.eigh(features @ features.T)
    found = np.zeros((rank, features.shape[1]))
    found[: min(rank, len(features))] = directions[:, ::-1][:, :rank].T @ features
    return found


def _rank(features: Array, negligible: Array) -> int:
    """Return how many directions leave out less than `negligible` (m,), root mean square, at every energy, at most RANK."""
    rotated = leading(features, len(features))
    left = np.cumsum((rotated**2)[::-1], axis=0)[::-1]
    return int(min(np.count_nonzero((left > negligible**2).any(axis=1)), RANK))
