"""Connect to a beamline's PVs, and say which of them are not there."""

import os
import time
from collections.abc import Iterator
from typing import Any

from xas_bluesky.beamline import Devices
from xas_bluesky.config import Settings
from xas_bluesky.device_settings import DevicePVs
from xas_bluesky.devices.counters import make_detector, make_dwell
from xas_bluesky.devices.motors import MotorAxis, Stage, in_electronvolts
from xas_bluesky.devices.shutter import make_shutter
from xas_bluesky.devices.telling import ReadPV
from xas_bluesky.errors import DeviceError, SettingsError

POLL = 0.02
"""Seconds between two looks at what has connected."""
SAID = 5
"""So many PVs that are not there are named."""


def connect_devices(settings: Settings) -> Devices:
    """Return the devices that [devices] of a beamline.toml names, connected.

    The energy and the dwell have the data keys of [channels]. Raises SettingsError when there is no such table, or when it
    counts nothing that makes an absorption, and DeviceError, which names them, when PVs do not connect.
    """
    pvs = settings.devices
    if pvs is None:
        raise SettingsError("beamline.toml: no [devices] to connect to; name the beamline's PVs there (docs/beamline.md)")
    _check_channels(settings, pvs)
    if pvs.addresses:
        os.environ["EPICS_CA_ADDR_LIST"] = " ".join(pvs.addresses)
        os.environ["EPICS_CA_AUTO_ADDR_LIST"] = "NO"
    energy = MotorAxis(name=settings.channels.energy, pvs=pvs.energy, setting="[devices.energy]")
    dwell = make_dwell(settings.channels.dwell, pvs.dwell, pvs.answer)
    detectors = [make_detector(name, table, dwell, pvs.answer) for name, table in pvs.counters.items()]
    stage = Stage(name="stage", pvs=pvs.stage, setting="[devices.stage]") if pvs.stage else None
    shutter = make_shutter(pvs.shutter, pvs.answer) if pvs.shutter else None
    ring_current = make_ring_current(pvs.ring_current, pvs.answer) if pvs.ring_current else None
    parts: list[Any] = [energy, dwell, *detectors, stage.motor if stage else None, shutter, ring_current]
    _connected([part for part in parts if part is not None], pvs.connect)
    in_electronvolts(energy)
    found: Any = {"energy": energy, "dwell": dwell, "detectors": detectors, "stage": stage, "shutter": shutter}
    return Devices(**found, ring_current=ring_current, settings=settings)


def make_ring_current(pv: str, answer: float) -> ReadPV:
    """Make the signal of the ring's current, monitored, so that a suspender can watch it."""
    return ReadPV(pv, name="ring_current", setting="[devices] ring_current", answer=answer, auto_monitor=True)


def _check_channels(settings: Settings, pvs: DevicePVs) -> None:
    """Raise SettingsError where no absorption would come of what the detectors count."""
    counted = {key for table in pvs.counters.values() for key in table.channels}
    named = settings.channels.data_keys()
    signals = {key for name, key in named.items() if name.startswith(("itrans", "fluorescence", "electron_yield"))}
    if named["i0"] not in counted or not (signals & counted or any("{" in key for key in signals)):
        raise SettingsError(
            f"beamline.toml: [devices.counters] count {', '.join(counted)}, but [channels] calls i0 {named['i0']!r} and the "
            f"absorption's signals {', '.join(sorted(signals))}; give the channels of the counters those data keys"
        )


def _connected(parts: list[Any], seconds: float) -> None:
    """Wait until all PVs have connected; raises DeviceError, and lets go of all of them, when they do not in time."""
    end = time.monotonic() + seconds
    while missing := [found for part in parts for found in _missing(part)]:
        if time.monotonic() > end:
            for part in parts:
                part.destroy()
            more = f" and {len(missing) - SAID} more" if len(missing) > SAID else ""
            asked = os.environ.get("EPICS_CA_ADDR_LIST") or "the local network"
            raise DeviceError(
                f"not connected within {seconds:g} s: {', '.join(missing[:SAID])}{more}; correct the PV in beamline.toml, "
                f"see that its IOC runs, or name its server in [devices] addresses (asked: {asked})"
            )
        time.sleep(POLL)


def _missing(part: Any) -> Iterator[str]:
    if isinstance(part, ReadPV):
        signals: list[Any] = [part]
    else:
        signals = [walked.item for walked in part.walk_signals()]
    gone = [signal for signal in signals if not signal.connected]
    if isinstance(part, MotorAxis) and gone:  # one record
        yield f"{gone[0].pvname} ({part.setting})"
        return
    for signal in gone:
        yield f"{signal.pvname} ({signal.setting})"
