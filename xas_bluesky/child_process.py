"""A child process that answers lines of JSON: what is heavy to load, or may die, stays out of the caller's process."""

import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Mapping
from contextlib import suppress
from typing import Any


class ChildProcess:
    """Run a module as a child process, one request and one answer at a time.

    It starts at once and imports what it needs while the caller goes on. It has a session of its own: Ctrl-C at the terminal
    pauses the plan and must not end it. It ends with its stdin when the caller dies. `environment` is added to the caller's.
    """

    def __init__(self, module: str, *arguments: str, environment: Mapping[str, str] | None = None) -> None:
        self._log = tempfile.TemporaryFile("w+", encoding="utf-8")  # noqa: SIM115 a pipe that nobody reads would fill up
        self._process = subprocess.Popen(  # noqa: S603 no shell reads the arguments
            [sys.executable, "-m", module, *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log,
            text=True,
            start_new_session=True,
            # what lies in the working folder is not imported, nor is it by the processes that this one starts
            env={**os.environ, "PYTHONWARNINGS": "ignore", "PYTHONSAFEPATH": "1", **(environment or {})},
        )
        self._one_at_a_time = threading.Lock()

    @property
    def pid(self) -> int:
        """Its process."""
        return self._process.pid

    def ask(self, request: Mapping[str, Any]) -> dict[str, Any]:
        """Return the answer to a request; raises ChildProcessError with its last words when it died."""
        assert self._process.stdin is not None  # noqa: S101
        assert self._process.stdout is not None  # noqa: S101
        with self._one_at_a_time:
            try:
                self._process.stdin.write(json.dumps(request) + "\n")
                self._process.stdin.flush()
                return json.loads(self._process.stdout.readline())
            except (OSError, ValueError) as error:
                raise ChildProcessError(self._last_words()) from error

    def close(self) -> None:
        """End the process, and those that it started, whatever they do; a second time does nothing."""
        if self._log.closed:
            return
        with suppress(OSError):  # none is left
            os.killpg(self._process.pid, signal.SIGTERM)  # its session's group: all of them hold its pipes open
        with self._one_at_a_time:  # whoever waited for an answer has none
            if not self._log.closed:
                self._process.communicate()
                self._log.close()

    def _last_words(self) -> str:
        if self._log.closed:
            return "it is closed"
        self._log.seek(0)
        lines = self._log.read().strip().splitlines()
        return lines[-1] if lines else "it said nothing"
