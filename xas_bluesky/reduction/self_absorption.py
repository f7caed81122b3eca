"""Over-absorption (self-absorption): how much less fluorescence shows of fine structure than absorption does."""

import functools
import math

import xraydb

from xas_bluesky.edges import Edge, find_edge
from xas_bluesky.errors import EdgeError, SpectrumError

BESIDE = 0.002
"""The edge step is read this share of the edge's energy below and above it."""
NOTABLE = 0.05
"""Damping from which a sample counts as concentrated; less is hidden in the noise of most scans."""


@functools.cache
def damping(formula: str, edge: str, incidence_angle: float, exit_angle: float) -> float:
    """Return by how much over-absorption damps weak fine structure in fluorescence, from 0 (not) to 1 (wholly).

    The sample is infinitely thick and homogeneous, of the composition `formula` ("FeS2"); `incidence_angle` and
    `exit_angle` (degrees, above 0 to 90) are those of the beam and of the detector to its surface. Fluorescence goes
    with mu_a / (mu + g·mu_f): mu_a what the edge adds to the absorption mu above it, mu_f the absorption at the energy of
    the absorber's strongest line, g = sin(incidence)/sin(exit). A small change of mu_a comes out smaller by the share
    mu_a / (mu + g·mu_f).
    Raises SpectrumError for a formula that cannot be read or lacks the absorber, EdgeError for an edge that is unknown or
    has no fluorescence line. Source: Tröger et al., Phys. Rev. B 46, 3283 (1992), doi:10.1103/PhysRevB.46.3283; mass
    attenuation from Elam's tables, doi:10.1016/S0969-806X(01)00227-4.
    """
    found = find_edge(edge)
    masses = _masses(formula, found)
    below, above = found.energy * (1 - BESIDE), found.energy * (1 + BESIDE)
    step = masses[found.absorber] * (_attenuation(found.absorber, above) - _attenuation(found.absorber, below))
    line = _line_energy(found)
    inward = sum(mass * _attenuation(element, above) for element, mass in masses.items())
    outward = sum(mass * _attenuation(element, line) for element, mass in masses.items())
    geometry = math.sin(math.radians(incidence_angle)) / math.sin(math.radians(exit_angle))
    return step / (inward + outward * geometry)


def concentrated(formula: str, edge: str, incidence_angle: float, exit_angle: float) -> str | None:
    """Return the remark that a fluorescence scan of a concentrated sample needs, None for a dilute one; see `damping`."""
    damped = damping(formula, edge, incidence_angle, exit_angle)
    if damped <= NOTABLE:
        return None
    return (
        f"over-absorption: fluorescence of a thick sample of {formula} damps fine structure at {find_edge(edge)} by "
        f"{100 * damped:.0f} %; measure transmission, dilute the sample, or correct for it"
    )


def _masses(formula: str, edge: Edge) -> dict[str, float]:
    try:
        amounts: dict[str, float] = xraydb.chemparse(formula)
        masses = {element: amount * float(xraydb.atomic_mass(element)) for element, amount in amounts.items()}
    except ValueError:
        masses = {}
    if not masses:
        raise SpectrumError(
            f"the sample's formula {formula!r} cannot be read; give elements and amounts, as in 'FeS2' or 'CuSO4(H2O)5'"
        )
    if masses.get(edge.absorber, 0.0) <= 0:
        raise SpectrumError(
            f"the sample's formula {formula!r} holds no {edge.absorber}, but the scan is at {edge}; correct one of them"
        )
    return masses


def _attenuation(element: str, energy: float) -> float:
    return float(xraydb.mu_elam(element, energy))  # cm²/g


def _line_energy(edge: Edge) -> float:
    lines = xraydb.xray_lines(edge.absorber, edge.level).values()
    if not lines:
        raise EdgeError(f"{edge}: xraydb knows no fluorescence line of this level; choose another edge")
    return float(max(lines, key=lambda line: line.intensity).energy)
