"""Find the channels of a run among its data keys."""

from collections.abc import Mapping
from typing import Any

from xas_bluesky.config import Channels
from xas_bluesky.errors import SettingsError, SpectrumError

SAID = "start['xas']['channels']"
HOW = f"name the right data keys in {SAID} or under [channels] in beamline.toml"


def xas_metadata(start: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return what a start document says of the spectrum; empty when it says nothing."""
    said = start.get("xas")
    return said if isinstance(said, Mapping) else {}


def find_channels(start: Mapping[str, Any], data_keys: Mapping[str, Any], channels: Channels) -> dict[str, str]:
    """Map the channels of a run that are there to their data keys, energy first.

    `data_keys`: of the descriptor; only scalar numbers count. Names in start["xas"]["channels"] go before `channels`.
    Raises SettingsError for malformed names, SpectrumError when energy or an absorption signal (i0 with itrans or
    fluorescence) is not there.
    """
    said = xas_metadata(start).get("channels", {})
    if not isinstance(said, Mapping):
        raise SettingsError(f"{SAID}: got {said!r}, expected a mapping of channel to data key, as in {{'i0': 'I0'}}")
    names = channels.overridden(said, SAID).data_keys()
    scalars = [
        key for key, about in data_keys.items() if about.get("dtype") in ("number", "integer") and "external" not in about
    ]
    found = {channel: key for channel, key in names.items() if key in scalars}
    has = f"its scalar data keys are {', '.join(sorted(scalars)) or '(none)'}; {HOW}"
    if "energy" not in found:
        raise SpectrumError(f"no energy channel {names['energy']!r}: {has}")
    if "i0" not in found or not found.keys() & {"itrans", "fluorescence"}:
        raise SpectrumError(
            f"no absorption signal, which is i0 ({names['i0']!r}) with itrans ({names['itrans']!r}) "
            f"or fluorescence ({names['fluorescence']!r}): {has}"
        )
    return found
