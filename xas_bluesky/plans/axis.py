"""What a scan moves."""

from typing import Any, Protocol

from bluesky.protocols import Movable, Readable


class Axis(Movable[float], Readable[Any], Protocol):
    """Be moved by a plan, and read at each point."""
