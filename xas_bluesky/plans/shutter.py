"""The shutter of one beamline: open while points are measured, closed in pauses and at every end."""

import logging
from typing import Any

from bluesky.protocols import Movable, Status
from ophyd.status import Status as OphydStatus

OPEN, CLOSE = "Open", "Close"

logger = logging.getLogger(__name__)


class BeamShutter:
    """Stand for a shutter in a plan: opened only where it is not open, and closed when the RunEngine pauses, suspends or ends.

    Set it to OPEN before each point: after a pause the RunEngine repeats that, so that it opens again. The RunEngine stops
    what a plan has set however that ends, halted too; here this closes. It is told to close even where it was closed last:
    somebody may have opened it.
    """

    name = "beam_shutter"
    parent = None

    def __init__(self, shutter: Movable[str]) -> None:
        self._shutter = shutter
        self._is_open = False

    def set(self, value: str) -> Status:
        """Start to bring the shutter to OPEN or CLOSE."""
        if value == OPEN and self._is_open:
            there: Any = OphydStatus(self)  # its annotations are older than bluesky's protocols
            there.set_finished()
            return there
        self._is_open = False
        moved = self._shutter.set(value)
        if value == OPEN:
            moved.add_callback(self._opened)
        return moved

    def _opened(self, status: Status) -> None:
        self._is_open = status.success

    def stop(self, success: bool = True) -> None:  # noqa: ARG002  (the RunEngine says it)
        """Close it, without waiting."""
        self._close()

    def pause(self) -> None:
        """Close it: the RunEngine pauses or suspends."""
        self._close()

    def resume(self) -> None:
        """Do nothing: it opens with the next point."""

    def _close(self) -> None:
        self._is_open = False
        try:
            self._shutter.set(CLOSE)
        except Exception:
            logger.exception("the shutter could not be told to close")
