"""Reduce one scan, whole or not: what is known of it, what is not, and why."""

from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np

from xas_bluesky.config import Settings
from xas_bluesky.edges import Edge, find_edge
from xas_bluesky.errors import EdgeError, SpectrumError
from xas_bluesky.reduction.absorption import absorption
from xas_bluesky.reduction.calibration import distinct_points, find_shift
from xas_bluesky.reduction.edge_energy import find_e0
from xas_bluesky.reduction.glitches import find_glitches
from xas_bluesky.reduction.harmonics import suspect_harmonics
from xas_bluesky.reduction.noise import SAME_ENERGY
from xas_bluesky.reduction.normalization import normalize
from xas_bluesky.reduction.self_absorption import concentrated
from xas_bluesky.spectra import Absorption, NormalizedSpectrum, ReducedScan, Spectrum

GLITCH = "glitch"
HARMONICS = "harmonics suspected"
BELOW, ABOVE = 5.0, 15.0
"""A scan that ends less than so far (eV) below the tabulated edge has not reached it, less than so far above not passed it."""
FAR_E0 = 15.0
"""An e0 farther (eV) from the tabulated edge is said: a mono to be calibrated, or another edge."""
FARTHEST_E0 = 60.0
"""An e0 farther than that, in a scan that seems not to hold its edge, is of another edge."""
FAR_FOIL = 30.0
"""A reference whose e0 lies farther (eV) from the sample's edge is of another element."""
WIDEST_CELL = 2 * SAME_ENERGY
"""eV: so far apart may several sweeps read one energy."""
TURNS = 0.01
"""A step back of less than this share of the usual step is the encoder's noise."""


def reduce_scan(spectrum: Spectrum, settings: Settings | None = None, remarks: Sequence[str] = ()) -> ReducedScan:
    """Reduce what was measured of a scan so far, as far as it goes.

    Nothing is repaired in silence: a point that cannot be used is flagged with the reason, `unknown` says why e0, edge step
    and normalized spectrum are not known yet, and `remarks`, after those given, what is to be said of the scan as a whole.
    Only what was measured is given: a scan that has not passed its edge has no edge step. Raises SpectrumError when the
    channels for absorption are missing.
    """
    settings = settings or Settings()
    edge = _edge(spectrum)
    measured = absorption(spectrum, settings=settings)
    reference, reference_e0, shift, about_foil = _calibrate(spectrum, settings, edge)
    measured = replace(measured, energy=measured.energy + shift)
    glitches = find_glitches(measured, edge.energy if edge else None)
    measured = _flagged(measured, GLITCH, glitches, left_out=True)
    if measured.signal == "transmission":
        measured = _flagged(measured, HARMONICS, suspect_harmonics(measured), left_out=False)
    stage, why = _stage(measured, edge)
    normalized = None
    if stage in ("whole", "scattered") or _is_over(spectrum):
        try:
            found = normalize(_by_energy(measured))
            if not why or edge is None or abs(found.e0 - edge.energy) < FARTHEST_E0:
                normalized, stage = found, "scattered" if _turns(measured.energy) else "whole"
        except SpectrumError as error:
            stage, why = ("in the edge", str(error)) if stage == "whole" else (stage, why or str(error))
    unknown: dict[str, str] = {} if normalized else dict.fromkeys(("e0", "edge_step", "norm"), why)
    if measured.noise == "unknown":
        unknown["variance"] = "too few points to tell the noise by; declare the counters' noise in beamline.toml"
    said = (*remarks, *about_foil, *_remarks(spectrum, measured, normalized, settings, edge))
    return ReducedScan(spectrum, measured, reference, reference_e0, shift, normalized, stage, unknown, said)


def _edge(spectrum: Spectrum) -> Edge | None:
    try:
        return find_edge(str(spectrum.metadata.get("edge", "")))
    except EdgeError:
        return None


def _calibrate(
    spectrum: Spectrum, settings: Settings, edge: Edge | None
) -> tuple[Absorption | None, float | None, float, list[str]]:
    """Return the reference, its e0 (eV), the shift (eV) that a declared foil asks for, and what is to be said of it."""
    try:
        reference = absorption(spectrum, "reference", settings)
    except SpectrumError:
        return None, None, 0.0, [f"no reference channels to calibrate by the foil {settings.foil}"] if settings.foil else []
    if settings.foil:
        try:
            found = find_shift(reference, settings.foil)
        except (EdgeError, SpectrumError) as error:
            return reference, None, 0.0, [f"not calibrated: {error}"]
        return reference, found.e0, found.shift, []
    try:
        e0 = find_e0(*distinct_points(reference)[:2])
    except SpectrumError:
        return reference, None, 0.0, []
    return reference, e0 if edge is None or abs(e0 - edge.energy) < FAR_FOIL else None, 0.0, []


def _flagged(measured: Absorption, reason: str, mask: np.typing.NDArray[np.bool_], *, left_out: bool) -> Absorption:
    if not mask.any():
        return measured
    variance = np.where(mask, np.inf, measured.variance) if left_out else measured.variance
    return replace(measured, variance=variance, flags={**measured.flags, reason: mask})


def _believed(measured: Absorption) -> np.typing.NDArray[np.bool_]:
    """Say which points are not flagged: before the noise can be told, none weighs anything."""
    if measured.noise != "unknown":
        return measured.usable
    return ~np.logical_or.reduce([np.zeros(len(measured), dtype=bool), *measured.flags.values()])


def _stage(measured: Absorption, edge: Edge | None) -> tuple[str, str]:
    """Say how far the scan is, and what is missing for its normalization."""
    energy = measured.energy[_believed(measured)]
    if not len(energy):
        return "empty", "no usable points yet" if len(measured) == 0 else "no point can be used; see the flags"
    if edge is not None and energy.max() < edge.energy - BELOW:
        return "below the edge", f"the scan has not reached the {edge} edge at {edge.energy:.0f} eV (so far: {_span(energy)})"
    if edge is not None and (energy.max() < edge.energy + ABOVE or energy.min() > edge.energy - BELOW):
        return "in the edge", f"the scan does not hold the {edge} edge at {edge.energy:.0f} eV yet (so far: {_span(energy)})"
    return ("scattered" if _turns(measured.energy) else "whole"), ""


def _is_over(spectrum: Spectrum) -> bool:
    """Say whether no more points will come: then an edge far from its tabulated energy is a mono that is off."""
    return spectrum.metadata.get("exit_status") == "success"


def _turns(energy: np.typing.NDArray[np.float64]) -> int:
    """Count how often the energy turns back."""
    steps = np.diff(energy[np.isfinite(energy)])
    steps = steps[np.abs(steps) > TURNS * np.median(np.abs(steps))] if len(steps) else steps
    return int((np.diff(np.sign(steps)) != 0).sum())


def _by_energy(measured: Absorption) -> Absorption:
    """Average the points of several sweeps whose energies are the same but for the encoder's noise."""
    if not _turns(measured.energy):
        return measured
    energy, mu, variance = distinct_points(measured)
    apart = np.diff(energy, prepend=-np.inf) >= SAME_ENERGY
    chain = np.flatnonzero(apart)[np.cumsum(apart) - 1]
    cells = np.floor((energy - energy[chain]) / WIDEST_CELL)  # counted from a gap, so that none runs through one energy
    starts = np.flatnonzero(apart | (np.diff(cells, prepend=0.0) != 0))
    weight = 1 / variance
    total = np.add.reduceat(weight, starts)
    return Absorption(
        np.add.reduceat(weight * energy, starts) / total, np.add.reduceat(weight * mu, starts) / total, 1 / total
    )


def _remarks(
    spectrum: Spectrum, measured: Absorption, normalized: NormalizedSpectrum | None, settings: Settings, edge: Edge | None
) -> Iterator[str]:
    yield from measured.remarks
    missing, status = spectrum.metadata.get("missing"), spectrum.metadata.get("exit_status")
    if missing:
        yield f"{missing} points were measured, but are not in this spectrum"
    if status and status != "success":
        yield f"the run ended by {status}"
    left_out = int((~measured.usable).sum()) if measured.noise != "unknown" else 0
    if left_out:
        reasons = ", ".join(f"{reason}: {mask.sum()}" for reason, mask in measured.flags.items() if reason != HARMONICS)
        yield f"{left_out} of {len(measured)} points are left out ({reasons})"
    energy = measured.energy[np.isfinite(measured.energy)]
    if len(energy) > 2 and np.ptp(energy) < SAME_ENERGY:
        yield f"the energy does not move: {len(energy)} points at {energy[0]:.2f} eV"
    elif turns := _turns(energy):
        yield f"the energy turns back {turns} times; the points are sorted by energy to be normalized"
    if status and edge and len(energy) and not energy.min() < edge.energy < energy.max():
        yield f"the {edge} edge at {edge.energy:.0f} eV lies outside the scan ({_span(energy)})"
    if normalized and edge and abs(normalized.e0 - edge.energy) > FAR_E0:
        yield f"e0 = {normalized.e0:.1f} eV lies far from the {edge} edge at {edge.energy:.1f} eV; calibrate the mono"
    if normalized and np.ptp(normalized.pre_edge) == 0:
        yield "too few points below the edge for the slope of the pre-edge line; it is taken level"
    if measured.signal == "fluorescence":
        yield from _over_absorption(spectrum, settings, edge)


def _over_absorption(spectrum: Spectrum, settings: Settings, edge: Edge | None) -> Iterator[str]:
    xdi = spectrum.metadata.get("xdi")
    formula = xdi.get("Sample.formula") or xdi.get("Sample.stoichiometry") if isinstance(xdi, dict) else None
    if formula is None or edge is None:
        yield "fluorescence is not corrected for over-absorption; with XDI's Sample.formula its size would be said"
        return
    angles = settings.fluorescence.incidence, settings.fluorescence.exit
    try:
        remark = concentrated(str(formula), str(edge), *angles)
    except (EdgeError, SpectrumError) as error:
        remark = f"over-absorption is not known: {error}"
    if remark:
        yield remark


def _span(energy: np.typing.NDArray[np.float64]) -> str:
    return f"{energy.min():.1f} to {energy.max():.1f} eV"
