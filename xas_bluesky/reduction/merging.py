"""Repeats of a scan merged, outliers named."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from xas_bluesky.errors import SpectrumError
from xas_bluesky.reduction.calibration import align as find_alignment
from xas_bluesky.reduction.calibration import distinct_points
from xas_bluesky.reduction.outliers import SIGNIFICANCE, UNLIKE, differences, far_shifts, unlike_shapes
from xas_bluesky.reduction.repeats import MIN_POINTS, Points, collect, distinct, put_on_one_scale
from xas_bluesky.spectra import Absorption, Array

NEIGHBOURS = 15
"""The scatter among repeats is averaged over this many energies."""


@dataclass(frozen=True, slots=True)
class MergedScans:
    """Hold k repeats merged.

    `absorption`: their mean, on the energy and mu scale of the first scan in it. Of each scan (k,): `shifts` (eV), added
    to its energies to lie on those of that first one; `weights`, its share in the mean, 0 if left out; `outlier`;
    `reasons`, why it is left out, else empty. `remarks`: what is to be said of the whole.
    """

    absorption: Absorption
    shifts: Array
    weights: Array
    outlier: NDArray[np.bool_]
    reasons: tuple[str, ...]
    remarks: tuple[str, ...]


def merge(scans: Sequence[Absorption], *, references: Sequence[Absorption] | None = None, align: bool = True) -> MergedScans:
    """Merge repeats of a scan, whole or partial, each point weighted by its inverse variance.

    Every scan is shifted in energy (by its reference, where given, else by its own mu), then brought to the scale, offset
    and slope of the first. The energies are those of the first, and those of others where these are finer or reach
    farther. A point counts once, at the nearest energy, moved there along the local shape, so no resolution is made up.
    Of three scans or more, one whose shape or shift is far from the others' is an outlier and stays out of the mean.
    Where the stated variances do not explain the scatter among repeats, its local excess is added to each of them (a
    random-effects mean, DerSimonian and Laird, doi:10.1016/0197-2456(86)90046-2). Raises SpectrumError without a scan of
    10 usable energies, for scans of different signals, and unless there are as many references as scans.
    """
    scans = _checked(scans, references)
    counts = [len(distinct_points(scan)[0]) for scan in scans]
    few = {i: f"{n} usable energies, at least {MIN_POINTS} are needed" for i, n in enumerate(counts) if n < MIN_POINTS}
    if len(few) == len(scans):
        raise SpectrumError(f"no scan to merge has {MIN_POINTS} usable energies (the most: {max(counts)}); measure more")
    kept = [i for i in range(len(scans)) if i not in few]
    shifts, points, remarks = _put_together(scans, references, kept, align)
    outliers = {kept[i]: reason for i, reason in (far_shifts(shifts[kept]) | unlike_shapes(points)).items()}
    if outliers:
        kept = [i for i in kept if i not in outliers]
        shifts, points, remarks = _put_together(scans, references, kept, align)
    if added := len(points.grid) - len(distinct(scans[kept[0]].energy)):
        remarks.append(f"{added} energies of other scans are added between or beyond those of scan {kept[0] + 1}")

    excess, scatter = _excess_scatter(points)
    weight = points.weight / (1 + points.weight * excess[points.cell])
    noises = {"repeats"} if scatter else {scans[i].noise for i in kept}
    reasons = few | outliers
    share = np.zeros(len(scans))
    share[kept] = np.bincount(points.scan, weight) / weight.sum()
    return MergedScans(
        _mean([scans[i] for i in kept], points, weight, noises.pop() if len(noises) == 1 else "unknown"),
        np.nan_to_num(shifts),
        share,
        np.array([i in outliers for i in range(len(scans))]),
        tuple(reasons.get(i, "") for i in range(len(scans))),
        (*remarks, *scatter),
    )


def _checked(scans: Sequence[Absorption], references: Sequence[Absorption] | None) -> list[Absorption]:
    """Return the scans without the points that have no energy; raises SpectrumError for what cannot be merged."""
    if not scans:
        raise SpectrumError("no scans to merge; give at least one")
    if references is not None and len(references) != len(scans):
        raise SpectrumError(f"{len(references)} references for {len(scans)} scans; give one for each scan, or none")
    checked: list[Absorption] = []
    for number, scan in enumerate(scans, 1):
        if scan.signal != scans[0].signal:
            raise SpectrumError(f"scan {number} is {scan.signal}, scan 1 {scans[0].signal}; merge each signal on its own")
        if not (np.isfinite(scan.mu[scan.usable]).all() and (scan.variance[scan.usable] > 0).all()):
            raise SpectrumError(
                f"scan {number}: mu is not finite or its variance not positive; give such points infinite variance"
            )
        held = np.isfinite(scan.energy)
        variance = np.where(scan.usable, scan.variance, np.inf)
        flags = {reason: flagged[held] for reason, flagged in scan.flags.items()}
        mu = np.nan_to_num(scan.mu, posinf=0.0, neginf=0.0)
        checked.append(Absorption(scan.energy[held], mu[held], variance[held], scan.signal, scan.noise, flags))
    return checked


def _put_together(
    scans: Sequence[Absorption], references: Sequence[Absorption] | None, kept: Sequence[int], align: bool
) -> tuple[Array, Points, list[str]]:
    """Align the kept scans and put them on one scale: shifts of all (k,), NaN where they cannot be told, and remarks."""
    anchor = max(kept, key=lambda i: _information(scans[i]))
    shifts, remarks = np.zeros(len(scans)), list[str]()
    for i in set(range(len(scans))) - {anchor} if align else ():
        shift = None if references is None else find_alignment(references[i], references[anchor])
        if references is not None and shift is None and i in kept:
            remarks.append(f"scan {i + 1}: its reference tells no shift to that of scan {anchor + 1}, its mu is used")
        shift = find_alignment(scans[i], scans[anchor]) if shift is None else shift
        if shift is None and i in kept:
            remarks.append(f"scan {i + 1}: nothing tells its shift to scan {anchor + 1}, its energies are taken as measured")
        shifts[i] = np.nan if shift is None else shift
    shifts -= np.nan_to_num(shifts[kept[0]])
    points = collect([scans[i] for i in kept], np.nan_to_num(shifts[list(kept)]))
    points, untold = put_on_one_scale(points, kept.index(anchor))
    remarks += [f"scan {kept[i] + 1}: too little in common with the others to tell its scale, taken as it is" for i in untold]
    return shifts, points, remarks


def _information(scan: Absorption) -> float:
    """Say how well a scan shows its edge: rise over noise, whatever single points do."""
    low, high = np.percentile(scan.mu[scan.usable], [5, 95])
    return float(scan.usable.sum() * (high - low) ** 2 / np.median(scan.variance[scan.usable]))


def _excess_scatter(points: Points) -> tuple[Array, list[str]]:
    """Return the variance among repeats beyond what they state, (n,), and a remark; else zeros and none."""
    n = len(points.grid)
    total, squares = points.total(points.weight), points.total(points.weight**2)
    misfit = points.total(points.weight * (points.mu - points.mean()[points.cell]) ** 2)
    free = np.maximum(points.total((points.weight > 0).astype(float)) - 1, 0)
    degrees = float(free.sum()) - 3 * (points.k - 1)
    if degrees < MIN_POINTS or misfit.sum() <= degrees + SIGNIFICANCE * np.sqrt(2 * degrees):
        return np.zeros(n), []
    several = np.flatnonzero(free)
    near = np.ones(min(NEIGHBOURS, len(several)))
    effective = (total - squares / np.where(total > 0, total, 1.0))[several]
    beyond = np.convolve((misfit - free)[several], near, "same") / np.convolve(effective, near, "same")
    excess = np.interp(np.arange(n), several, np.maximum(beyond, 0.0))
    remark = f"the scans scatter {np.sqrt(misfit.sum() / degrees):.1f} times as much as their variances say, theirs is taken"
    if points.k == 2 and (share := differences(points)[0, 1]) > UNLIKE:
        remark += f"; they differ by {share:.1%} of their range, and of two it cannot be said which is off"
    return excess, [remark]


def _mean(scans: Sequence[Absorption], points: Points, weight: Array, noise: str) -> Absorption:
    """Average at each energy; a point is flagged as those that weigh in it are, or else, where none does, as all are."""
    total = points.total(weight)
    counted = (weight > 0) | (total[points.cell] == 0)
    plain = np.where(total[points.cell] > 0, weight, 1.0)
    flags: dict[str, NDArray[np.bool_]] = {}
    for reason in sorted({reason for scan in scans for reason in scan.flags}):
        each = np.concatenate([scan.flags.get(reason, np.zeros(len(scan), dtype=bool)) for scan in scans])
        flagged = points.total((each & counted).astype(float)) > 0
        if flagged.any():
            flags[reason] = flagged
    mu = points.total(plain * points.mu) / points.total(plain)
    variance = np.divide(1.0, total, out=np.full(len(total), np.inf), where=total > 0)
    return Absorption(points.grid, mu, variance, scans[0].signal, noise, flags)
