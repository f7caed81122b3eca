"""Find the channels of a run among its data keys."""

from collections.abc import Iterator, Mapping
from typing import Any

from xas_bluesky.config import Channels, Settings, conventions
from xas_bluesky.edges import find_edge
from xas_bluesky.errors import EdgeError, SettingsError, SpectrumError

SAID = "start['xas']"
HOW = f"name the right data keys in {SAID}['channels'] or under [channels] in beamline.toml"
SIGNALS = ("itrans", "fluorescence", "electron_yield")
NUMBERS = ("number", "integer", "array")
SETPOINT = ("_user_setpoint", "-user_setpoint", "_setpoint", "-setpoint")
READBACK = ("_user_readback", "-user_readback", "_readback", "-readback", "")
"""How ophyd and its users end the names of a positioner's data keys."""

DataKeys = Mapping[str, Mapping[str, Any]]


def xas_metadata(start: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return what a start document says of the spectrum; empty when it says nothing."""
    said = start.get("xas")
    return said if isinstance(said, Mapping) else {}


def xdi_metadata(start: Mapping[str, Any]) -> dict[str, str]:
    """Return a start document's XDI fields as "Family.tag" -> text; names with a leading underscore are private."""
    said = start.get("XDI")
    return {
        f"{family}.{tag}": str(value)
        for family, tags in (said if isinstance(said, Mapping) else {}).items()
        if isinstance(tags, Mapping) and not family.startswith("_")
        for tag, value in tags.items()
        if value is not None and not tag.startswith("_")
    }


def edge_of(start: Mapping[str, Any]) -> str | None:
    """Return the edge that a start document names, as in "Cu K", in the words of any of the known beamlines."""
    xdi = xdi_metadata(start)
    named = (
        xas_metadata(start).get("edge"),
        f"{xdi.get('Element.symbol')} {xdi.get('Element.edge')}",
        f"{start.get('element')} {start.get('edge')}",
        start.get("edge"),
        start.get("E0"),
    )
    for name in named:
        try:
            return str(find_edge(str(name)))
        except EdgeError:
            continue
    return None


def settings_of(start: Mapping[str, Any], settings: Settings) -> Settings:
    """Lay what a start document says of its beamline, in start["xas"], over `settings`; raises SettingsError."""
    tables = {name: value for name, value in xas_metadata(start).items() if name != "edge"}
    return settings.overridden(tables, SAID)


def namings(start: Mapping[str, Any], settings: Settings) -> Iterator[dict[str, str]]:
    """Give the data keys that channels may have: those of the settings, then those of each known beamline under them.

    "{element}" in a data key stands for the symbol of the edge's element.
    """
    said = settings.channels.model_dump(exclude_unset=True)
    element = (edge_of(start) or "?").split()[0]
    for ready in ({}, *conventions().values()):
        try:
            channels = Channels.read({**ready.get("channels", {}), **said}, HOW)
        except SettingsError:
            continue  # a name of the settings' is another channel's there
        yield {channel: key.replace("{element}", element) for channel, key in channels.data_keys().items()}


def find_channels(start: Mapping[str, Any], data_keys: DataKeys, settings: Settings) -> dict[str, str]:
    """Map the channels of a run that are there to their data keys, energy first.

    `data_keys`: of the descriptors. A positioner's readback is taken where its setpoint was named, and its setpoint is
    the channel energy_setpoint. Raises SpectrumError when energy or an absorption signal (i0 with itrans, fluorescence or
    electron_yield) is not there.
    """
    there = {key: about for key, about in data_keys.items() if about.get("dtype") in NUMBERS}
    for naming in namings(start, settings):
        found = _with_positioner(_there(naming, start, there), there)
        if "energy" in found and "i0" in found and any(channel.startswith(SIGNALS) for channel in found):
            return found
    names, has = settings.channels, f"its data keys of numbers are {', '.join(sorted(there)) or '(none)'}; {HOW}"
    if "energy" not in _there(names.data_keys(), start, there):
        raise SpectrumError(f"no energy channel {names.energy!r}: {has}")
    raise SpectrumError(
        f"no absorption signal, which is i0 ({names.i0!r}) with itrans ({names.itrans!r}), fluorescence "
        f"({names.fluorescence!r}) or electron_yield ({names.electron_yield!r}): {has}"
    )


def _there(naming: Mapping[str, str], start: Mapping[str, Any], data_keys: DataKeys) -> dict[str, str]:
    found = {channel: key for channel, key in naming.items() if key in data_keys}
    if "energy" not in found:
        hinted = [key for key in _scanned(start) if "energy" in key.lower() and key in data_keys]
        return {"energy": hinted[0], **found} if hinted else found
    return found


def _scanned(start: Mapping[str, Any]) -> list[str]:
    """List the data keys that the start document's hints give as the axes of the scan."""
    dimensions: Any = (start.get("hints") or {}).get("dimensions") or []
    return [key for fields, _stream in dimensions for key in fields]


def _with_positioner(found: dict[str, str], data_keys: DataKeys) -> dict[str, str]:
    key = found.get("energy")
    if key is None:
        return found
    stem = next((key.removesuffix(end) for end in (*SETPOINT, *READBACK[:-1]) if key.endswith(end)), key)
    setpoint = next((stem + end for end in SETPOINT if stem + end in data_keys), None)
    readback = next((stem + end for end in READBACK if stem + end in data_keys), key)
    found = {**found, "energy": readback if key == setpoint else key}
    return {**found, "energy_setpoint": setpoint} if setpoint not in (None, found["energy"]) else found


def relevant_keys(start: Mapping[str, Any], data_keys: DataKeys, settings: Settings) -> dict[str, str]:
    """Map each data key that some naming calls a channel to that channel: what is to be kept of a stream."""
    there = {key: about for key, about in data_keys.items() if about.get("dtype") in NUMBERS}
    found: dict[str, str] = {}
    for naming in namings(start, settings):
        for channel, key in _with_positioner(_there(naming, start, there), there).items():
            found.setdefault(key, channel)
    return found
