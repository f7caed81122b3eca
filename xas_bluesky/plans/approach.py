"""The way to the energy at which a sweep begins, or goes on after a pause."""

from typing import Any

from bluesky.protocols import Movable, Status
from ophyd.status import Status as OphydStatus

from xas_bluesky.config import Mono
from xas_bluesky.plans.limits import limits_of


class Approach:
    """Come from below to where a sweep begins, and to where it goes on after each pause: the mono may have been moved then.

    Set it to each energy before the mono itself: only the first time, and after a pause, that moves the mono to `backlash`
    below, within the limits, and settles. The RunEngine sets it again with all that it repeats.
    """

    name = "approach"
    parent = None

    def __init__(self, energy: Movable[float], mono: Mono) -> None:
        self._energy, self._mono = energy, mono
        self._low = limits_of(energy, mono)[0]
        self._due = True

    def set(self, value: float) -> Status:
        """Start to come near to an energy, eV."""
        settle: Any = self._mono.settle if self._due else 0.0
        arrived: Any = OphydStatus(self, settle_time=settle)  # its annotations are older than bluesky's protocols
        if not self._due:
            arrived.set_finished()
            return arrived
        self._due = False  # at once: a pause on the way makes it due again

        def end(moved: Status) -> None:
            if moved.success:
                arrived.set_finished()
            else:
                arrived.set_exception(moved.exception(0.0) or RuntimeError(f"{self._energy!r} did not arrive"))

        self._energy.set(max(value - self._mono.backlash, self._low)).add_callback(end)
        return arrived

    def stop(self, success: bool = True) -> None:
        """Stop the mono: the RunEngine may not know yet that it is moved."""
        if stop := getattr(self._energy, "stop", None):
            stop(success=success)

    def pause(self) -> None:
        """Take note that the RunEngine pauses or suspends."""
        self._due = True

    def resume(self) -> None:
        """Do nothing: the RunEngine tells only objects of pauses that can be resumed too."""
