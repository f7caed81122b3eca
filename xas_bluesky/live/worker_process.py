"""The worker as its parent sees it: documents in, messages out, and whether it lives."""

import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any

from xas_bluesky.config import Settings
from xas_bluesky.live.messages import pack, unpacker

CHUNK = 2**16


class WorkerProcess:
    """Start a worker and keep count of what it was sent; `hear` is called with each of its messages, on a thread."""

    def __init__(self, settings: Settings, hear: Callable[["WorkerProcess", Mapping[str, Any]], None]) -> None:
        self.sent = self.handled = 0
        self._hear = hear
        self._heard_at = time.monotonic()
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
    def silent_for(self) -> float:
        """Return the seconds since its last message."""
        return time.monotonic() - self._heard_at

    def send(self, items: Sequence[tuple[str, Mapping[str, Any]]]) -> None:
        """Send documents; a worker that has died takes none."""
        self.sent += len(items)
        self._write(b"".join(map(pack, items)))

    def kill(self) -> None:
        """End it, whatever it does."""
        self._process.kill()
        self._process.wait()
        self._listener.join()
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                pipe.close()

    def _write(self, packed: bytes) -> None:
        assert self._process.stdin is not None  # noqa: S101
        left = memoryview(packed)
        with suppress(OSError):  # it has died: see alive
            while left:
                left = left[os.write(self._process.stdin.fileno(), left) :]

    def _listen(self) -> None:
        assert self._process.stdout is not None  # noqa: S101
        messages = unpacker()
        while chunk := os.read(self._process.stdout.fileno(), CHUNK):
            messages.feed(chunk)
            for message in messages:
                self._heard_at = time.monotonic()
                self._hear(self, message)
                self.handled = message["handled"]
