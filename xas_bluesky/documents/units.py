"""Energies in eV from what a beamline records."""

import numpy as np

from xas_bluesky.config import Energy
from xas_bluesky.errors import SpectrumError
from xas_bluesky.spectra import Array

HC = 12398.419843320026
"""Planck's constant times the speed of light, eV Å (CODATA 2018, exact)."""
HIGHEST_KEV = 200.0
"""Energies that all stay below this are keV, or no energies."""
NAMES = {
    **dict.fromkeys(("ev", "electronvolt", "electron_volt"), "eV"),
    **dict.fromkeys(("kev", "kiloelectronvolt", "kiloelectron_volt"), "keV"),
    **dict.fromkeys(("deg", "degree", "degrees", "°"), "deg"),
    **dict.fromkeys(("mdeg", "millidegree", "millidegrees"), "mdeg"),
    **dict.fromkeys(("rad", "radian", "radians"), "rad"),
}
EV = {"eV": 1.0, "keV": 1000.0}
RADIANS = {"deg": np.pi / 180, "mdeg": np.pi / 180_000, "rad": 1.0}


def to_energy(values: Array, declared: Energy, described: str | None, d_spacing: float | None) -> Array:
    """Convert readings (n,) of the energy channel to eV.

    `described`: the unit in the documents, `d_spacing` (Å) the crystal's; what is `declared` in the settings goes before
    both. A Bragg angle that reflects nothing becomes NaN. Raises SpectrumError for a unit that is not known, an angle
    without a lattice spacing, and energies without a unit that look like keV.
    """
    values = values * declared.scale
    unit = declared.unit or NAMES.get((described or "").strip().lower())
    if unit is None and described:
        raise SpectrumError(f"the energies are in {described!r}; give [energy] unit = 'eV', 'keV', 'deg', 'mdeg' or 'rad'")
    if unit is None:
        finite = values[np.isfinite(values)]
        if len(finite) and finite.max() < HIGHEST_KEV:
            raise SpectrumError(
                f"the energies ({finite[0]:g} …) have no unit and are too low for eV; give [energy] unit in beamline.toml"
            )
        unit = "eV"
    if unit in EV:
        return values * EV[unit]
    spacing = declared.d_spacing or d_spacing
    if spacing is None:
        raise SpectrumError(
            f"the energies are angles in {unit}; give the crystal's [energy] d_spacing (Å) in beamline.toml, or "
            "start['XDI']['Mono']['d_spacing']"
        )
    sine = np.sin((values + declared.angle_offset) * RADIANS[unit])
    return HC / (2 * spacing) / np.where(sine > 0, sine, np.nan)
