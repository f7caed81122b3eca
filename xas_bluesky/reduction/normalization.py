"""Normalization of a complete scan, by xraylarch's definitions (docs/decisions/0003-normalization.md)."""

import numpy as np
from numpy.polynomial import Polynomial

from xas_bluesky.errors import SpectrumError
from xas_bluesky.reduction.calibration import distinct_points
from xas_bluesky.reduction.edge_energy import check_points, find_e0, span
from xas_bluesky.spectra import Absorption, Array, NormalizedSpectrum

MIN_PRE_EDGE_POINTS = 3
MIN_POST_EDGE_POINTS = 5
MIN_POST_EDGE_WIDTH = 2.0
MAX_NNORM = 3
MIN_SIGNIFICANCE = 3.0
"""Edge step, relative to the scatter about the pre-edge line (whole measured scans: at least 46)."""
MAX_DRIFT = 0.05
"""Change of the edge step by the slope of a pre-edge that has too few points for a line, and is taken as level."""


def normalize(
    absorption: Absorption,
    *,
    e0: float | None = None,
    pre1: float | None = None,
    pre2: float | None = None,
    norm1: float | None = None,
    norm2: float | None = None,
    nnorm: int | None = None,
    nvict: int = 0,
) -> NormalizedSpectrum:
    """Normalize a complete scan by its edge step.

    A line through mu·energy^nvict between e0 + pre1 and e0 + pre2 is the pre-edge; a polynomial of degree nnorm through
    mu minus pre-edge between e0 + norm1 and e0 + norm2 is the post-edge; their difference at e0 is the edge step. By
    default a pre-edge of too few points for a line is level, if their slope changes the edge step by less than 5 %.
    Energies in eV, windows relative to e0; None takes xraylarch's default. Points of infinite variance are left out, the
    rest is sorted by energy, and points at one energy are averaged. Raises SpectrumError where xraylarch would change a
    window or an e0 it was given, and where the scan holds no whole edge. Source: xraylarch 2026.3.1, `pre_edge`
    (doi:10.1088/1742-6596/430/1/012007).
    """
    energy, mu, _ = distinct_points(absorption)
    check_points(energy, mu, at_least=MIN_PRE_EDGE_POINTS + MIN_POST_EDGE_POINTS)
    if e0 is None:
        e0 = find_e0(energy, mu)
    elif not energy[1] <= e0 <= energy[-2]:
        raise SpectrumError(f"e0 = {e0:g} eV lies outside the scan ({span(energy)}); give an e0 inside it, or none")
    at_e0 = int(np.abs(energy - e0).argmin())

    may_be_level = pre1 is None and pre2 is None
    pre1, pre2 = _pre_edge_window(energy, e0, at_e0, pre1, pre2)
    pre_edge, scatter, drift = _fit_pre_edge(energy, mu, e0, pre1, pre2, nvict, may_be_level)
    norm1, norm2 = _post_edge_window(energy, e0, norm1, norm2)
    rise = _fit_post_edge(energy, mu - pre_edge, e0, norm1, norm2, nnorm)

    edge_step = float(rise[at_e0])
    if edge_step <= 0:
        raise SpectrumError(
            f"edge step {edge_step:.3g} at e0 = {e0:g} eV: mu must rise at the edge; give i0 and itrans the right way "
            "round, or another e0 or other windows"
        )
    if edge_step < MIN_SIGNIFICANCE * scatter:
        raise SpectrumError(
            f"edge step {edge_step:.3g} at e0 = {e0:g} eV is lost in the scatter of the pre-edge ({scatter:.3g}); "
            "measure longer, or give another e0 or other windows"
        )
    if drift > MAX_DRIFT * edge_step:
        raise SpectrumError(_too_few_for_a_line(energy, e0, pre1, pre2))
    norm = (mu - pre_edge) / edge_step
    flat = norm.copy()
    flat[at_e0:] += 1 - rise[at_e0:] / edge_step
    return NormalizedSpectrum(energy, norm, flat, float(e0), edge_step, pre_edge, pre_edge + rise)


def _pre_edge_window(energy: Array, e0: float, at_e0: int, pre1: float | None, pre2: float | None) -> tuple[float, float]:
    if pre1 is None:
        grain = 5.0 if at_e0 > 20 else 2.0
        pre1 = grain * round(float(energy[1] - e0) / grain)  # the first point is often bad
    pre1 = max(pre1, float(energy[0] - e0))
    pre2 = 0.5 * pre1 if pre2 is None else pre2
    if not pre1 < pre2 <= 0:
        raise SpectrumError(
            f"pre-edge window {_window(pre1, pre2, e0)} (scan: {span(energy)}): needs pre1 < pre2 <= 0; "
            "measure further below the edge or give other limits"
        )
    return pre1, pre2


def _fit_pre_edge(
    energy: Array, mu: Array, e0: float, pre1: float, pre2: float, nvict: int, may_be_level: bool
) -> tuple[Array, float, float]:
    """Return the pre-edge (n,), the scatter about it, and how far a line would lie from the level at e0 that it may be."""
    start, stop = _at_or_below(energy, pre1 + e0), int(np.abs(energy - (pre2 + e0)).argmin())
    few = _at_or_below(energy - e0, pre2) - _at_or_below(energy - e0, pre1) < MIN_PRE_EDGE_POINTS
    if few and not (may_be_level and stop - start > 1):
        raise SpectrumError(_too_few_for_a_line(energy, e0, pre1, pre2))
    if few:
        level, line = float(mu[start:stop].mean()), Polynomial.fit(energy[start:stop], mu[start:stop], 1)
        return np.full(len(energy), level), 0.0, abs(float(line(e0)) - level)
    line = Polynomial.fit(energy[start:stop], (mu * energy**nvict)[start:stop], 1)
    pre_edge = line(energy) * energy**-nvict
    misfit = (mu - pre_edge)[start:stop]
    return pre_edge, float(np.sqrt(misfit @ misfit / (stop - start - 2))), 0.0


def _too_few_for_a_line(energy: Array, e0: float, pre1: float, pre2: float) -> str:
    return (
        f"pre-edge window {_window(pre1, pre2, e0)} (scan: {span(energy)}): needs at least {MIN_PRE_EDGE_POINTS} "
        "points; measure more below the edge or widen it"
    )


def _post_edge_window(energy: Array, e0: float, norm1: float | None, norm2: float | None) -> tuple[float, float]:
    above = float(energy[-1] - e0)
    norm2 = min(5.0 * round(above / 5.0) if norm2 is None else norm2, above)
    norm1 = min(25.0, 5.0 * round(norm2 / 15.0)) if norm1 is None else norm1
    if not 0 <= norm1 <= norm2 - MIN_POST_EDGE_WIDTH:
        raise SpectrumError(
            f"post-edge window {_window(norm1, norm2, e0)} (scan: {span(energy)}): needs norm1 >= 0 and at least "
            f"{MIN_POST_EDGE_WIDTH:g} eV; measure further above the edge or give other limits"
        )
    return norm1, norm2


def _fit_post_edge(energy: Array, rise: Array, e0: float, norm1: float, norm2: float, nnorm: int | None) -> Array:
    start, stop = _at_or_below(energy, norm1 + e0), int(np.abs(energy - (norm2 + e0)).argmin())
    if stop - start < MIN_POST_EDGE_POINTS:
        raise SpectrumError(
            f"post-edge window {_window(norm1, norm2, e0)} (scan: {span(energy)}): needs at least "
            f"{MIN_POST_EDGE_POINTS} points; measure more above the edge or widen it"
        )
    if nnorm is None:
        nnorm = 0 if norm2 - norm1 < 30 else 1 if norm2 - norm1 < 300 else 2
    if not 0 <= nnorm <= min(MAX_NNORM, stop - start - 1):
        raise SpectrumError(
            f"nnorm = {nnorm} with {stop - start} points in the post-edge window: needs 0 <= nnorm <= {MAX_NNORM} and "
            "more points than that"
        )
    return Polynomial.fit(energy[start:stop], rise[start:stop], nnorm)(energy)


def _at_or_below(energy: Array, value: float) -> int:
    return max(int(np.searchsorted(energy, value, side="right")) - 1, 0)


def _window(start: float, stop: float, e0: float) -> str:
    return f"{start:g} to {stop:g} eV from e0 = {e0:.1f} eV"
