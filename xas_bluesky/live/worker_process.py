"""The worker as its parent sees it: documents in, messages out, and whether it lives."""

import logging
import os
import select
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any

from xas_bluesky.config import Settings
from xas_bluesky.live.messages import pack, unpacker

logger = logging.getLogger(__name__)

CHUNK = 2**16
STALLED, UNLOADED = 30.0, 300.0
"""Seconds of silence, with documents to work on, after which a worker is taken to be stuck; the latter before its first
word, as what it imports may come slowly where processors and disks are busy."""
LOOK = 0.5
"""Seconds between looks at whether the worker has stalled, while it takes nothing."""


class WorkerProcess:
    """Start a worker and keep count of what it was sent; `hear` is called with each of its messages, on a thread."""

    def __init__(self, settings: Settings, hear: Callable[["WorkerProcess", Mapping[str, Any]], None]) -> None:
        self.sent = self.handled = 0
        self.unhandled: deque[tuple[str, Mapping[str, Any]]] = deque()
        """documents that are on their way to it, or that it works on"""
        self._hear = hear
        self._patience = UNLOADED
        self._silent_since = time.monotonic()
        self._process = subprocess.Popen(
            [sys.executable, "-m", "xas_bluesky.live.worker"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            bufsize=0,
            env={**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"},
            start_new_session=True,  # an interrupt is meant for the scan
        )
        self._listener = threading.Thread(target=self._listen, name="xas-live-listener", daemon=True)
        self._listener.start()
        self._write(pack(settings.model_dump(mode="json", exclude_unset=True)))

    @property
    def pid(self) -> int:
        """Its process."""
        return self._process.pid

    @property
    def alive(self) -> bool:
        """Say whether it runs."""
        return self._process.poll() is None

    @property
    def stalled(self) -> bool:
        """Say whether it has documents to work on, and has been silent for long."""
        return self.sent > self.handled and time.monotonic() - self._silent_since > self._patience

    def send(self, items: Sequence[tuple[str, Mapping[str, Any]]]) -> None:
        """Send documents; a worker that has died takes none."""
        packed: list[bytes] = []
        for name, doc in items:
            try:
                packed.append(pack([name, doc]))
                self.unhandled.append((name, doc))
            except ValueError as error:
                logger.warning("a %s document cannot be sent to the live reduction: %s", name, error)
        if self.sent == self.handled:
            self._silent_since = time.monotonic()  # before, it had nothing to say
        self.sent += len(packed)
        self._write(b"".join(packed))

    def kill(self) -> None:
        """End it, whatever it does; a write to it comes free."""
        self._process.kill()
        self._process.wait()

    def close(self) -> None:
        """End it, and let its pipes go."""
        self.kill()
        self._listener.join()
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                pipe.close()

    def _write(self, packed: bytes) -> None:
        assert self._process.stdin is not None  # noqa: S101
        pipe, left = self._process.stdin.fileno(), memoryview(packed)
        with suppress(OSError):  # it has died: see alive
            while left:
                if select.select([], [pipe], [], LOOK)[1]:
                    left = left[os.write(pipe, left[: select.PIPE_BUF]) :]
                elif self.stalled:
                    self._process.kill()

    def _listen(self) -> None:
        assert self._process.stdout is not None  # noqa: S101
        messages = unpacker()
        while chunk := os.read(self._process.stdout.fileno(), CHUNK):
            messages.feed(chunk)
            for message in messages:
                self._silent_since, self._patience = time.monotonic(), STALLED
                self._hear(self, message)
                for _ in range(message["handled"] - self.handled):
                    self.unhandled.popleft()
                self.handled = message["handled"]
