"""Run one task over many molecules, here in processes of this machine; what is lost gets a second chance."""

import os
import signal
import threading
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from multiprocessing import get_context, parent_process
from multiprocessing.connection import Connection, wait
from typing import Any

import joblib

from xas_bluesky.candidates import Candidate
from xas_bluesky.errors import CalculationError, XASError
from xas_bluesky.theory.sticks import ComputedMolecule

Task = Callable[[Candidate, tuple[str, ...]], ComputedMolecule]
"""Compute the excitations of a candidate's atoms of some elements; importable, as it is sent by name."""

ONE_THREAD: dict[str, str] = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
PATIENCE = 5.0
"""Seconds a worker gets to end."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """Hold what one attempt at a candidate gave: a molecule, or why there is none, and the seconds that it took.

    `lost`: the attempt itself went wrong (its process was killed, memory ran out), so that another may succeed.
    """

    candidate: Candidate
    molecule: ComputedMolecule | None
    failure: str | None
    seconds: float = 0.0
    lost: bool = False


Work = Callable[[Candidate], Outcome]
Run = Callable[[Work, Sequence[Candidate], int | None], Generator[Outcome]]
"""Do the work for all candidates, so many at once (None: one per core), and yield the outcomes as they come."""


def attempt(task: Task, elements: tuple[str, ...], candidate: Candidate) -> Outcome:
    """Attempt one candidate; whatever goes wrong in the task is its outcome."""
    start = time.perf_counter()
    molecule, failure, lost = None, None, False
    try:
        molecule = task(candidate, elements)
    except XASError as error:
        failure = str(error)
    except MemoryError:
        failure, lost = "the memory was not enough; give it a machine with more", True
    except Exception as error:  # a molecule that meets a bug must not end the others
        failure = f"{type(error).__name__}: {error}"
    return Outcome(candidate, molecule, failure, time.perf_counter() - start, lost)


def with_second_chance(run: Run, work: Work, candidates: Sequence[Candidate], at_once: int | None) -> Iterator[Outcome]:
    """Run, and attempt at the end once more, one after the other, what was lost."""
    lost: list[Candidate] = []
    for outcome in run(work, candidates, at_once):
        if outcome.lost:
            lost.append(outcome.candidate)
        else:
            yield outcome
    yield from run(work, lost, 1)


def in_processes(work: Work, candidates: Sequence[Candidate], at_once: int | None) -> Generator[Outcome]:
    """Run in processes of this machine, one thread each; they end with this one, however it ends.

    A process is handed one candidate at a time, so that it is known which one killed it. Raises CalculationError when the
    processes do not start.
    """
    waiting = iter(candidates)
    workers: dict[Connection, _Worker] = {}
    try:
        for _ in range(min(at_once or joblib.cpu_count(), len(candidates))):
            _start(work, workers)
        while workers:
            for connection in wait(list(workers)):
                assert isinstance(connection, Connection)  # noqa: S101
                worker = workers[connection]
                try:
                    outcome = connection.recv()
                except (EOFError, OSError):
                    del workers[connection]
                    yield worker.last_words()
                    _start(work, workers)
                    continue
                if outcome:
                    yield outcome
                worker.candidate = next(waiting, None)
                if worker.candidate is None:
                    del workers[connection]
                    worker.end()
                else:
                    with suppress(OSError):  # a process that has just ended is noticed above
                        connection.send(worker.candidate)
    finally:
        for worker in workers.values():
            worker.process.terminate()
        for worker in workers.values():
            worker.end()


@dataclass(slots=True)
class _Worker:
    process: Any
    connection: Connection
    candidate: Candidate | None = None

    def last_words(self) -> Outcome:
        self.end()
        code = self.process.exitcode
        if self.candidate is None:
            raise CalculationError(f"a worker process ended before its first molecule (exit code {code}); see the lines above")
        by = f"signal {-code} ({signal.Signals(-code).name})" if code < 0 else f"exit code {code}"
        failure = f"its process was ended twice, by {by}; the memory may not be enough for it"
        return Outcome(self.candidate, None, failure, lost=True)

    def end(self) -> None:
        self.connection.close()
        self.process.join(PATIENCE)
        self.process.kill()
        self.process.join()


def _start(work: Work, workers: dict[Connection, _Worker]) -> None:
    spawn = get_context("spawn")
    ours, theirs = spawn.Pipe()
    process = spawn.Process(target=_serve, args=(theirs, work), daemon=True)
    with _one_thread():
        process.start()
    theirs.close()
    workers[ours] = _Worker(process, ours)


@contextmanager
def _one_thread() -> Generator[None]:
    """Let processes that start here compute in one thread: numerical libraries look when they are loaded."""
    before = dict(os.environ)
    os.environ.update(ONE_THREAD)
    try:
        yield
    finally:
        for name in ONE_THREAD:
            if name in before:
                os.environ[name] = before[name]
            else:
                del os.environ[name]


def _serve(connection: Connection, work: Work) -> None:
    """Do the work for each candidate received, until the connection closes."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches all processes; the parent ends them
    threading.Thread(target=_end_with_parent, daemon=True).start()
    with suppress(EOFError, OSError):
        connection.send(None)  # ready
        while True:
            connection.send(work(connection.recv()))


def _end_with_parent() -> None:
    parent = parent_process()
    assert parent is not None  # noqa: S101
    wait([parent.sentinel])
    os._exit(1)
