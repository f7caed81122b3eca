"""How far a campaign is: a bar on a terminal, a line now and then elsewhere."""

import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass, field

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn

LINE_EVERY = 60.0
"""Seconds between two lines, where there is no terminal."""
HOUR = 3600.0


@dataclass(slots=True)
class Tally:
    """Count what became of the molecules of a list.

    `listed`: their number; `skipped`: computed or failed before; `seconds`: spent on those computed, over all cores.
    """

    listed: int
    skipped: int
    computed: int = 0
    failed: int = 0
    seconds: float = 0.0
    started: float = field(default_factory=time.monotonic)

    @property
    def done(self) -> int:
        """The molecules of which something is known."""
        return self.skipped + self.computed + self.failed

    @property
    def molecules_per_core_hour(self) -> float:
        """How many are computed in an hour by one core, 0 before the first."""
        return HOUR * self.computed / self.seconds if self.seconds else 0.0

    def __str__(self) -> str:
        parts = [f"{self.done}/{self.listed} molecules"]
        if self.failed:
            parts.append(f"{self.failed} failed")
        if self.computed:
            parts.append(f"{self.molecules_per_core_hour:.0f} molecules per core-hour")
        if self.done > self.skipped:
            left = (time.monotonic() - self.started) * (self.listed - self.done) / (self.done - self.skipped)
            parts.append(f"{_duration(left)} left")
        return ", ".join(parts)


@contextmanager
def shown(tally: Tally) -> Generator[Callable[[], None]]:
    """Show a tally on stderr; call what is yielded whenever it has changed."""
    console = Console(stderr=True)
    if console.is_terminal:
        with Progress(BarColumn(), TextColumn("{task.description}"), console=console) as progress:
            bar = progress.add_task(str(tally), total=tally.listed, completed=tally.skipped)
            yield lambda: progress.update(bar, description=str(tally), completed=tally.done)
        return
    last = tally.started

    def line() -> None:
        nonlocal last
        if time.monotonic() - last >= LINE_EVERY or tally.done == tally.listed:
            last = time.monotonic()
            console.print(str(tally), soft_wrap=True, highlight=False)

    yield line


def _duration(seconds: float) -> str:
    minutes = round(seconds / 60)
    return (
        f"{seconds:.0f} s" if seconds < 100 else f"{minutes} min" if minutes < 100 else f"{minutes // 60} h {minutes % 60} min"
    )
