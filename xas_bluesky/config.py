"""Settings of a beamline, read from its beamline.toml and validated once."""

import functools
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import Field, PositiveFloat, StringConstraints, model_validator

from xas_bluesky.device_settings import DevicePVs
from xas_bluesky.errors import SettingsError
from xas_bluesky.tables import Table

CONVENTIONS = Path(__file__).parent / "data" / "beamlines"
"""Ready settings, a file a beamline: how it names its channels."""

DataKey = Annotated[str, StringConstraints(min_length=1, strip_whitespace=True)]
NonNegative = Annotated[float, Field(ge=0)]
Counter = Literal["i0", "itrans", "irefer", "fluorescence", "electron_yield"]
Mode = Literal["auto", "transmission", "fluorescence", "electron_yield"]
Unit = Literal["eV", "keV", "deg", "mdeg", "rad"]


class Channels(Table):
    """Name the data key of each channel of a scan.

    `energy`: the readback; `i0`, `itrans`, `irefer`, `fluorescence`, `electron_yield`: counts over the dwell; `dwell`
    (s); `ring_current`, and its lowest value since the point before. A detector of several elements has a data key each
    in `fluorescence`, or one whose values are arrays. `icr`,
    `ocr`: the elements' input and output count rates, for their dead time. Channels that a run does not record are
    ignored as long as one absorption signal is left. "{element}" in a data key stands for the symbol of the edge's element.
    """

    energy: DataKey = "energy"
    i0: DataKey = "i0"
    itrans: DataKey = "itrans"
    irefer: DataKey = "irefer"
    fluorescence: DataKey | tuple[DataKey, ...] = "fluorescence"
    electron_yield: DataKey = "electron_yield"
    dwell: DataKey = "dwell"
    ring_current: DataKey = "ring_current"
    ring_current_lowest: DataKey = "ring_current_lowest"
    icr: tuple[DataKey, ...] = ()
    ocr: tuple[DataKey, ...] = ()

    @model_validator(mode="after")
    def _distinct(self) -> Self:
        names = self.data_keys()
        if len(set(names.values())) < len(names):
            raise ValueError(f"two channels share one data key: {names}; give each channel its own")
        if len(self.icr) != len(self.ocr):
            raise ValueError(f"{len(self.icr)} icr and {len(self.ocr)} ocr; give both for each element")
        return self

    def data_keys(self) -> dict[str, str]:
        """Return channel -> data key; the elements of a detector are fluorescence_1, fluorescence_2 and so on."""
        names: dict[str, str] = {}
        for channel in type(self).model_fields:
            named: str | tuple[str, ...] = getattr(self, channel)
            if isinstance(named, str):
                names[channel] = named
            else:
                names.update({f"{channel}_{number}": key for number, key in enumerate(named, 1)})
        return names


class Energy(Table):
    """Say what the energy channel holds.

    `scale`: what a reading is multiplied by, as an encoder's count. `unit`, of the product: by default what the run's
    documents say, else eV. An angle is the Bragg angle of a crystal of lattice
    spacing `d_spacing` (Å; by default the documents' Mono.d_spacing), after `angle_offset` (in its own unit) is added.
    """

    scale: Annotated[float, Field(allow_inf_nan=False)] = 1.0
    unit: Unit | None = None
    d_spacing: PositiveFloat | None = None
    angle_offset: float = 0.0


class Fluorescence(Table):
    """Say how the elements of a fluorescence detector are read.

    `dead_time` (s): of an element, non-paralyzable, where its rates are not recorded. `roi`: first and last bin of the
    line, for channels that hold whole spectra. `incidence`, `exit`: angles (degrees) between the surface and the beam,
    and the surface and the detector.
    """

    dead_time: NonNegative = 0.0
    roi: tuple[Annotated[int, Field(ge=0)], Annotated[int, Field(ge=0)]] | None = None
    incidence: Annotated[float, Field(gt=0, le=90)] = 45.0
    exit: Annotated[float, Field(gt=0, le=90)] = 45.0


class Mono(Table):
    """Say how the mono is moved.

    A sweep is begun from `backlash` (eV) below its first energy, where `settle` (s) is waited. No energy below `low` or
    above `high` (eV) is asked for, nor any outside the limits of the device. `anchors`: whether adaptive scans measure two
    energies again every now and then, to take out drift and to notice radiation damage. `name` of the crystal, as in
    "Si(111)", and its lattice spacing `d_spacing` (Å) are written down with each run.
    """

    backlash: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 0.0
    settle: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 0.0
    low: PositiveFloat | None = None
    high: PositiveFloat | None = None
    anchors: bool = True
    name: str = ""
    d_spacing: PositiveFloat | None = None

    @model_validator(mode="after")
    def _has_a_range(self) -> Self:
        if self.low is not None and self.high is not None and not self.low < self.high:
            raise ValueError(f"low {self.low:g} eV is not below high {self.high:g} eV; give low before high")
        return self


class Place(Table):
    """Name the `facility` and the beamline, as written down with each run."""

    facility: str = ""
    name: str = ""


class Beam(Table):
    """Say how the beam is cared for.

    `dark`: seconds for which the detectors count with the shutter closed, at the beginning of each run; 0: not at all.
    `close_between_sweeps`: whether the shutter is closed while a decision is awaited; only where that is quick.
    `least_current`: of the ring, in the unit of its signal: with less, plans wait, until it was there again for `recovery`
    (s). Points measured meanwhile are kept but not used.
    """

    dark: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 1.0
    close_between_sweeps: bool = True
    least_current: PositiveFloat | None = None
    recovery: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 0.0


class TheoryShift(Table):
    """Give what a measured reference of known structure said: `shift`, measured − predicted energies (eV), and its error."""

    shift: Annotated[float, Field(allow_inf_nan=False)]
    sd: Annotated[float, Field(gt=0, allow_inf_nan=False)]


class Settings(Table):
    """Hold what a beamline.toml says; a table that is not there keeps its defaults.

    `convention`: the ready settings that the file starts from. `mode`: the signal that carries the absorption, by default
    the first of transmission, fluorescence and electron_yield that is recorded. `noise`: of a counter, "photons" where it
    counts them, or its counts per photon (a voltage-to-frequency converter's gain); the noise of others is told from
    repeats or from scatter. `dark` (counts/s): subtracted. `saturation` (counts/s): from there on a counter is not
    believed. `glitches`: windows (eV) that are left out. `foil`: edge of the reference foil, as in "Cu K", to calibrate
    the energies by. `theory_shift`: of this beamline, by edge. `devices`: its PVs. `dark` counts that a run measured itself
    go first.
    """

    convention: str | None = None
    mode: Mode = "auto"
    channels: Channels = Channels()
    energy: Energy = Energy()
    noise: Mapping[Counter, Literal["photons"] | PositiveFloat] = {}
    dark: Mapping[Counter, NonNegative] = {}
    saturation: Mapping[Counter, PositiveFloat] = {}
    fluorescence: Fluorescence = Fluorescence()
    glitches: tuple[tuple[float, float], ...] = ()
    foil: str | None = None
    mono: Mono = Mono()
    beam: Beam = Beam()
    beamline: Place = Place()
    theory_shift: Mapping[str, TheoryShift] = {}
    devices: DevicePVs | None = None

    @model_validator(mode="before")
    @classmethod
    def _started_from_convention(cls, values: object) -> object:
        if isinstance(values, Mapping) and isinstance(name := values.get("convention"), str):
            ready = conventions()
            if name not in ready:
                raise ValueError(f"convention {name!r} is not known; give {', '.join(ready)}, or none")
            return _merged(ready[name], values)
        return values

    @model_validator(mode="after")
    def _windows_have_width(self) -> Self:
        for low, high in self.glitches:
            if not low < high:
                raise ValueError(f"glitches: the window {low:g} to {high:g} eV has no width; give low before high")
        return self

    def overridden(self, tables: Mapping[str, object], where: str) -> Self:
        """Return these settings with `tables` laid over theirs; raises SettingsError, which says `where`."""
        return type(self).read(_merged(self.model_dump(exclude_unset=True), tables), where) if tables else self


@functools.cache
def conventions() -> dict[str, Mapping[str, Any]]:
    """Return the ready settings by beamline."""
    return {file.stem: tomllib.loads(file.read_text(encoding="utf-8")) for file in sorted(CONVENTIONS.glob("*.toml"))}


def load_settings(path: Path) -> Settings:
    """Read a beamline.toml.

    Raises SettingsError when the file cannot be read, is not TOML, or holds an unknown or malformed setting.
    """
    try:
        values = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise SettingsError(f"{path}: cannot be read ({error.strerror}); give the path of a beamline.toml") from error
    except ValueError as error:
        raise SettingsError(f"{path}: is not valid TOML: {error}") from error
    return Settings.read(values, str(path))


def _merged(under: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    merged = dict(under)
    for name, value in over.items():
        below = merged.get(name)
        merged[name] = _merged(below, value) if isinstance(below, Mapping) and isinstance(value, Mapping) else value
    return merged
