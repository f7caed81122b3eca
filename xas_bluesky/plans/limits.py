"""The energies that may be asked for: those within the limits of the settings and of the device."""

from typing import cast

from xas_bluesky.config import Mono
from xas_bluesky.decision import ScanRequest
from xas_bluesky.errors import SettingsError

Limits = tuple[float, float]
"""Lowest and highest energy, eV."""


def limits_of(energy: object, mono: Mono) -> Limits:
    """Return the limits within which `energy` may be moved.

    They are those of the settings and, where it has any, of the axis: ophyd's `limits`, which hold when low < high. Raises
    SettingsError when the two leave nothing.
    """
    low, high = mono.low or 0.0, mono.high or float("inf")
    device = cast(tuple[float, float], getattr(energy, "limits", None) or (0.0, 0.0))
    if device[0] < device[1]:
        low, high = max(low, float(device[0])), min(high, float(device[1]))
    if not low < high:
        raise SettingsError(
            f"energy limits: those of the settings, {mono.low} to {mono.high} eV, and of the device, {device[0]:g} to "
            f"{device[1]:g} eV, have nothing in common; mend low and high of [mono]"
        )
    return low, high


def within(request: ScanRequest, limits: Limits) -> ScanRequest | None:
    """Return the points of `request` inside the limits, None when there are none."""
    low, high = limits
    inside = (request.energy >= low) & (request.energy <= high)
    return ScanRequest(request.energy[inside], request.dwell[inside]) if inside.any() else None


def reachable(scan: ScanRequest, limits: Limits) -> ScanRequest:
    """Return the part of a whole scan inside the limits; raises SettingsError when there is none."""
    inside = within(scan, limits)
    if inside is None:
        low, high = limits
        raise SettingsError(
            f"energy limits: the scan, {scan.energy[0]:.1f} to {scan.energy[-1]:.1f} eV, lies outside {low:g} to {high:g} eV; "
            "mend low and high of [mono], the limits of the device, or the edge"
        )
    return inside
