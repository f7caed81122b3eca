"""Offset and drift between sweeps, and a sample that changes, from the anchors of one spot.

The anchor below the edge knows nothing of the sample's state, the one on the edge does. What moves both alike is the
beamline's (efficiency of i0, thickness), and is taken out; what moves the second alone is the sample's.
"""

import math
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from xas_bluesky.decision.anchor import TOLERANCE, Anchor, Sweeps
from xas_bluesky.errors import SettingsError
from xas_bluesky.spectra import Absorption, Array

FALSE_ALARM = 1e-3
"""Probability that a sample that stays the same is said to change, once in a whole run, however long."""
RATIOS = ("fluorescence", "electron_yield")
"""Signals on which i0's efficiency acts as a factor; on a logarithm it acts as an offset."""
COUNTED = ("photons", "gain")
"""Where the variance comes from counts it is believed; an estimate from scatter is not."""
LEAST = 5.0
"""A counted ratio is used from this many of its standard deviations on: below, its logarithm is not Gaussian."""
# the model's standard deviations, in ln(mu), or in the difference between the two anchors:
SLOPES = (0.1, 1.0)
"""How steep the spectrum may be at each anchor, per eV: times the readback's jitter it is noise."""
DRIFT = 0.1
"""How fast a beamline may drift, per hour, before its readings say so."""
STEP = 0.1
"""How far damage moves the sensitive anchor."""
SIZES = (1e-3, 3e-3, 1e-2, 3e-2, 1e-1, 3e-1)
"""How far a sweep may lie off the drift, or not at all; and how readings of one sweep scatter, beyond counting noise if
that is known: then only the first two, what a beamline reproduces to."""
CHANGED = "sample changed"
"""The flag of points of a changed sample."""


@dataclass(frozen=True, slots=True)
class Stability:
    """Say how k sweeps lie to each other.

    `offset`, `variance` (k,): of each sweep against the first, in mu, or in ln(mu) where `factor` is True; `drift`,
    `drift_sd`: its linear part per hour; `changed`: the first sweep in which the sample is not
    what it was, None while that is within noise; `reason` says it in words.
    """

    offset: Array
    variance: Array
    drift: float
    drift_sd: float
    factor: bool
    changed: int | None = None
    reason: str = ""


def judge(
    absorption: Absorption, sweep: Sweeps, time: Array, anchor: Anchor, *, false_alarm: float = FALSE_ALARM
) -> Stability:
    """Estimate offset and drift of the sweeps at one spot from their anchors, and whether the sample changed.

    `sweep` and `time` (s) of each point (n,). The readings are one linear-Gaussian model: level and slope of the spectrum
    at each anchor, a drift, a jump of each sweep, counting noise and further scatter; its rival has in addition a step of
    the sensitive anchor from some later sweep c on, of prior probability 1/c(c + 1). The sample has changed once the
    rival is 1/`false_alarm` times as likely, both averaged over the sizes that jumps and scatter may have. For readings
    of the first model that happens with at most that probability, however often and long one looks (Ville's inequality
    for likelihood ratios). Where the anchor below the edge counts too little nothing tells the beamline from the sample,
    and what is beyond the usual drift counts as the sample's. Raises SettingsError when sweep or time do not fit the
    points.
    """
    if not len(sweep) == len(time) == len(absorption):
        raise SettingsError(f"anchors: {len(absorption)} points, {len(sweep)} sweeps and {len(time)} times; give one each")
    readings, points = _read(absorption, sweep, anchor), np.bincount(sweep)
    hours = np.bincount(sweep, weights=time) / np.maximum(points, 1) / 3600
    model = _Model(readings, hours - hours[:1])
    changed = model.change(false_alarm)
    if changed is None:
        return model.solve()[0]
    found, size = model.solve(changed)
    against = (
        "that below the edge is not: radiation damage, or an energy scale that moved"
        if model.told_apart
        else "and nothing below the edge tells it from a drift of the beamline"
    )
    at = anchor.energy_sensitive
    reason = f"the sample changed: from sweep {changed + 1} on its absorption at {at:.1f} eV is off by {size:+.1%}, {against}"
    return replace(found, changed=changed, reason=reason)


def correct(absorption: Absorption, sweep: Sweeps, stability: Stability) -> Absorption:
    """Take the offsets of the sweeps (n,) out; their variance is added to that of each point, as if independent.

    From the sweep on in which the sample changed, points keep their place with infinite variance and a flag: theirs is
    another spectrum. Raises SettingsError when `stability` was judged from other points.
    """
    if len(sweep) != len(absorption) or int(sweep.max(initial=-1)) >= len(stability.offset):
        raise SettingsError(
            f"anchors: {len(absorption)} points, {len(sweep)} sweep numbers, {len(stability.offset)} sweeps judged; "
            "judge the same points first"
        )
    offset, added = stability.offset[sweep], stability.variance[sweep]
    if stability.factor:
        mu = absorption.mu * np.exp(-offset)
        variance = absorption.variance * np.exp(-2 * offset) + mu**2 * added
    else:
        mu, variance = absorption.mu - offset, absorption.variance + added
    if stability.changed is None:
        return replace(absorption, mu=mu, variance=variance)
    other = sweep >= stability.changed
    return replace(
        absorption,
        mu=mu,
        variance=np.where(other, np.inf, variance),
        flags={**absorption.flags, CHANGED: other},
        remarks=(*absorption.remarks, stability.reason),
    )


@dataclass(frozen=True, slots=True)
class _Readings:
    """Hold the anchors' readings (r,): mu over `scale`, or ln(mu), off its mean; its variance; energy off the anchor (eV)."""

    value: Array
    variance: Array
    off: Array
    anchor: NDArray[np.int64]
    sweep: Sweeps
    scale: float
    factor: bool
    counted: bool


def _read(absorption: Absorption, sweep: Sweeps, anchor: Anchor) -> _Readings:
    factor, counted = absorption.signal in RATIOS, absorption.noise in COUNTED
    least = LEAST * np.sqrt(absorption.variance) if counted else 0.0
    clear = absorption.usable & (absorption.mu > least) if factor else absorption.usable
    off = absorption.energy[:, None] - anchor.energies
    point, which = np.nonzero((np.abs(off) <= TOLERANCE) & clear[:, None])
    value, variance = absorption.mu[point], absorption.variance[point]
    if factor:
        value, variance = np.log(value), variance / value**2
    levels = np.bincount(which, weights=value, minlength=2) / np.maximum(np.bincount(which, minlength=2), 1)
    scale = 1.0 if factor else float(abs(levels[1] - levels[0])) or 1.0
    value, variance = (value - levels[which]) / scale, variance / scale**2
    return _Readings(value, variance, off[point, which], which, sweep[point], scale, factor, counted)


class _Model:
    """Give the covariance of the readings: levels, slopes, drift, and jumps and scatter of any of several sizes."""

    def __init__(self, readings: _Readings, hours: Array) -> None:
        self.readings, self.hours = readings, hours
        below, on = (np.unique(readings.sweep[readings.anchor == which]) for which in (0, 1))
        self.later = on[1:]
        self.told_apart = len(np.intersect1d(below, on)) > 1
        # with one anchor alone a jump of the beamline would explain everything
        jumps = (0.0, *SIZES) if self.told_apart else (0.0,)
        scatters = SIZES[:2] if readings.counted else SIZES
        self.sizes = [(jump, scatter) for jump in jumps for scatter in scatters]
        which, sweep, slope = readings.anchor, readings.sweep, np.take(SLOPES, readings.anchor) * readings.off
        drift = DRIFT * hours[sweep]
        smooth = (which[:, None] == which) * (1 + np.outer(slope, slope)) + np.outer(drift, drift)
        together = (sweep[:, None] == sweep).astype(np.float64)
        noise = np.eye(len(sweep))
        counting = np.diag(readings.variance * readings.counted)
        self.covariances = np.array([smooth + counting + j**2 * together + s**2 * noise for j, s in self.sizes])

    def change(self, false_alarm: float) -> int | None:
        """Return the first sweep of a changed sample, as it was when that was sure first; None while it is not."""

        def sure(odds: Array) -> bool:
            return np.logaddexp.reduce(odds) >= -math.log(false_alarm)

        if len(self.later) == 0 or not sure(self._odds(self.later[-1])):
            return None
        first = next(odds for until in self.later if sure(odds := self._odds(until)))
        return int(self.later[first.argmax()])

    def _odds(self, until: np.int64) -> Array:
        """Return the log odds of a step from each later sweep on against none, from the readings up to a sweep (s,)."""
        seen = self.readings.sweep <= until
        evidence, gained = self._fit(self._steps(self.later[self.later <= until]), seen)
        nth = np.arange(1, gained.shape[1] + 1, dtype=np.float64)
        alone = float(np.logaddexp.reduce(evidence))
        stepped: Array = np.logaddexp.reduce(evidence[:, None] + gained, axis=0)
        return stepped - alone - np.log(nth * (nth + 1))

    def _steps(self, sweeps: Sweeps) -> Array:
        moved = (self.readings.anchor[:, None] == 1) & (self.readings.sweep[:, None] >= sweeps)
        return STEP * moved.astype(np.float64)

    def _fit(self, steps: Array, seen: NDArray[np.bool_]) -> tuple[Array, Array]:
        """Return the log evidence of the readings `seen`, each size (m,), and what each step (r, s) adds to it (m, s)."""
        roots = np.linalg.cholesky(self.covariances[:, seen][:, :, seen])
        whitened = np.linalg.solve(roots, np.column_stack([self.readings.value, steps])[seen])
        value, columns = whitened[:, :, 0], whitened[:, :, 1:]
        evidence = -0.5 * (value**2).sum(axis=1) - np.log(np.diagonal(roots, axis1=1, axis2=2)).sum(axis=1)
        sharper = 1 + (columns**2).sum(axis=1)
        return evidence, 0.5 * np.einsum("mr,mrs->ms", value, columns) ** 2 / sharper - 0.5 * np.log(sharper)

    def solve(self, changed: int | None = None) -> tuple[Stability, float]:
        """Return offsets and drift at the likeliest sizes, and the size of a step from sweep `changed` on."""
        count, readings = len(self.hours), self.readings
        step = self._steps(np.array([count if changed is None else changed]))
        evidence, gained = self._fit(step, np.ones(len(readings.value), dtype=bool))
        best = int((evidence + gained[:, 0]).argmax())
        jump = self.sizes[best][0]
        drifted = DRIFT * self.hours
        offsets = np.outer(drifted, drifted[readings.sweep]) + jump**2 * (np.arange(count)[:, None] == readings.sweep)
        across = np.vstack([offsets - offsets[:1], DRIFT * drifted[readings.sweep], STEP * step.T])
        jumped = 2 * jump**2 * (np.arange(count) > 0)
        prior = np.concatenate([drifted**2 + jumped, [DRIFT**2, STEP**2]])
        weights = np.linalg.solve(self.covariances[best] + step @ step.T, across.T).T
        mean = weights @ readings.value
        variance = np.maximum(prior - (weights * across).sum(axis=1), 0.0)
        offset, of_offset = mean[:count] * readings.scale, variance[:count] * readings.scale**2
        drift, drift_sd = float(mean[count]) * readings.scale, math.sqrt(variance[count]) * readings.scale
        return Stability(offset, of_offset, drift, drift_sd, readings.factor), float(mean[-1])
