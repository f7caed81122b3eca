"""The table [devices] of a beamline.toml: the PVs of a beamline's devices, and how long they may take (docs/beamline.md)."""

from collections.abc import Mapping
from typing import Annotated, Self

from pydantic import Field, StringConstraints, model_validator

from xas_bluesky.tables import Table

PV = Annotated[str, StringConstraints(min_length=1, pattern=r"^\S+$")]
Seconds = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Number = Annotated[float, Field(allow_inf_nan=False)]


class EnergyMotor(Table):
    """Say which motor record turns the mono, in eV.

    `motor`: the record, without a field. `timeout` (s): of a move. `tolerance` (eV): a move that ends farther from where it
    was sent has failed.
    """

    motor: PV
    timeout: Seconds = 60.0
    tolerance: Seconds = 0.5


class StageMotor(Table):
    """Say which motor record brings samples into the beam.

    `motor`: the record; `slots`: its position for slot 0, 1, 2 and so on. `timeout` (s): of a move; `tolerance`: a move that
    ends farther from where it was sent has failed.
    """

    motor: PV
    slots: tuple[Number, ...] = Field(min_length=1)
    timeout: Seconds = 120.0
    tolerance: Seconds = 0.1


class ShutterPVs(Table):
    """Say how the shutter is opened and closed.

    `open_value` put to `open` opens it, `close_value` put to `close` closes it; they may be one PV with two values. `status`
    reads `open_status` while it is open, and `closed_status` while it is closed. `timeout` (s): until it is.
    """

    open: PV
    close: PV
    status: PV
    open_value: Number = 1
    close_value: Number = 1
    open_status: Number = 1
    closed_status: Number = 0
    timeout: Seconds = 10.0

    @model_validator(mode="after")
    def _can_be_told_apart(self) -> Self:
        if self.open == self.close and self.open_value == self.close_value:
            raise ValueError(f"open and close both put {self.open_value:g} to {self.open}; give two values, or two PVs")
        if self.open_status == self.closed_status:
            raise ValueError("open_status and closed_status are the same; give what status reads when open, and when closed")
        return self


class CounterPVs(Table):
    """Say how a detector counts, and what it counts.

    `start_value` is put to `start`. It has counted when `done` reads `done_value` again, or, without `done`, when the put
    completes. `timeout` (s): for that, beyond the dwell. `channels`: data key -> PV; the data keys are those of [channels].
    """

    start: PV
    start_value: Number = 1
    done: PV | None = None
    done_value: Number = 1
    timeout: Seconds = 10.0
    channels: Mapping[Annotated[str, StringConstraints(min_length=1)], PV] = Field(min_length=1)


class DevicePVs(Table):
    """Name the PVs of a beamline's devices.

    `addresses`: servers to ask for PVs, as host or host:port; by default the environment says (EPICS_CA_ADDR_LIST).
    `connect` (s): in which all PVs have to connect; `answer` (s): in which one has to answer. `dwell`: the PVs that take
    the seconds to count. `ring_current`: mA. `counters`: the detectors, by a name of your own.
    """

    addresses: tuple[PV, ...] = ()
    connect: Seconds = 5.0
    answer: Seconds = 5.0
    energy: EnergyMotor
    dwell: Annotated[tuple[PV, ...], Field(min_length=1)]
    counters: Annotated[Mapping[str, CounterPVs], Field(min_length=1)]
    stage: StageMotor | None = None
    shutter: ShutterPVs | None = None
    ring_current: PV | None = None
