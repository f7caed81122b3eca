"""The shutter of one beamline: open while points are measured, closed in pauses and at every end."""

import logging
from contextlib import suppress
from typing import Any

from bluesky.protocols import Movable, Status
from ophyd.status import Status as OphydStatus

OPEN, CLOSE = "Open", "Close"

logger = logging.getLogger(__name__)


class BeamShutter:
    """Stand for a shutter in a plan: moved only where it has to, and closed when the RunEngine pauses, suspends or ends.

    Set it to OPEN before each point: after a pause the RunEngine repeats that, so that it opens again. The RunEngine stops
    what a plan has set however that ends, halted too; here this closes.
    """

    name = "beam_shutter"
    parent = None

    def __init__(self, shutter: Movable[str]) -> None:
        self._shutter = shutter
        self._state: str | None = None

    def set(self, value: str) -> Status:
        """Start to bring the shutter to OPEN or CLOSE."""
        if value == self._state:
            there: Any = OphydStatus(self)  # its annotations are older than bluesky's protocols
            there.set_finished()
            return there
        self._state = None
        moved = self._shutter.set(value)
        moved.add_callback(lambda status: self._arrived(value, status))
        return moved

    def _arrived(self, value: str, status: Status) -> None:
        if status.success:
            self._state = value

    def stop(self, success: bool = True) -> None:  # noqa: ARG002  (the RunEngine says it)
        """Close it, without waiting."""
        self._close()

    def pause(self) -> None:
        """Close it: the RunEngine pauses or suspends."""
        self._close()

    def resume(self) -> None:
        """Do nothing: it opens with the next point."""

    def _close(self) -> None:
        if self._state == CLOSE:
            return
        self._state = None
        try:
            moved = self._shutter.set(CLOSE)
            moved.add_callback(lambda status: self._arrived(CLOSE, status))
        except Exception:
            logger.exception("the shutter could not be told to close")
            with suppress(AttributeError):
                self._shutter.stop()  # pyright: ignore[reportAttributeAccessIssue]
