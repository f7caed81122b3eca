"""Escalation: while a scan runs, the leading candidates are computed from first principles, in a process of their own.

A session has one `Escalation`, where `why_not()` is None, and each run one `Refinement`:

    with Escalation() as escalation:
        refinement = escalation.of(candidates)
        # before each decision
        refined = refinement.refined(prediction)
        if refined is not None:
            recommender.learn(refined)
        # after each decision
        refinement.lead(names_of_the_ranking)
        # after the run
        refinement.end()
"""

import threading
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from importlib.util import find_spec
from types import TracebackType
from typing import Self

import numpy as np

from xas_bluesky.candidates import Candidate, Format
from xas_bluesky.child_process import ChildProcess
from xas_bluesky.spectra import PredictedSpectra, Prediction
from xas_bluesky.wire import array_to_wire, spectra_from_wire

LEADING = 10
"""So many candidates, the first of a ranking, are worth seconds of computing each."""
MOST_CRASHES = 3
"""After so many in a row no more is computed."""
NEEDED = ("pyscf", "tblite")
WORKER = "xas_bluesky.theory.on_demand"
ONE_THREAD: dict[str, str] = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")


@dataclass(frozen=True, slots=True)
class Task:
    """Hold all that a computed spectrum depends on; `energy`: the bytes of float64 energies, eV."""

    structure: str
    format: Format
    edge: str
    energy: bytes


class Escalation:
    """Compute spectra from first principles, one at a time, and remember them; use it in a `with`.

    The process starts with the first task, at low priority and with one thread, and again after a task that it did not
    survive. Only `wait` waits for it.
    """

    def __init__(self) -> None:
        self._known: dict[Task, PredictedSpectra | str] = {}
        self._wanted: list[Task] = []
        self._changed = threading.Condition()
        self._closed = False
        self._crashes = 0
        self._process: ChildProcess | None = None
        self._thread: threading.Thread | None = None

    @staticmethod
    def why_not() -> str | None:
        """Say why nothing can be computed here; None where it can."""
        missing = [name for name in NEEDED if find_spec(name) is None]
        return f"no {' and no '.join(missing)} here; install xas-bluesky[theory]" if missing else None

    def of(self, candidates: Iterable[Candidate]) -> "Refinement":
        """Return the refinement of one run's prediction; no two of its candidates have one name."""
        return Refinement(self, candidates)

    def want(self, tasks: Sequence[Task]) -> None:
        """Do these tasks, in this order, in the place of those wanted before; a task is done once."""
        with self._changed:
            able = not self._closed and self._crashes < MOST_CRASHES
            self._wanted = [task for task in tasks if able and task not in self._known]
            if self._wanted and self._thread is None:
                self._thread = threading.Thread(target=self._work, name="xas-escalation", daemon=True)
                self._thread.start()
            self._changed.notify_all()

    def known(self, task: Task) -> PredictedSpectra | str | None:
        """Return the spectrum computed, or why it could not be; None while neither is known."""
        return self._known.get(task)

    def wait(self, timeout: float) -> bool:
        """Wait until nothing more is wanted; False where that takes longer than `timeout` seconds."""
        with self._changed:
            return self._changed.wait_for(lambda: not self._wanted, timeout)

    def close(self) -> None:
        """End the process, whatever it computes; a second time does nothing."""
        with self._changed:
            self._closed, self._wanted = True, []
            process, thread = self._process, self._thread
            self._changed.notify_all()
        if process is not None:
            process.close()
        if thread is not None:
            thread.join()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def _work(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._closed or self._wanted)
                if self._closed:
                    return
                task = self._wanted[0]
            found = self._done(task)
            with self._changed:
                self._known[task] = found
                going_on = self._crashes < MOST_CRASHES
                self._wanted = [one for one in self._wanted if going_on and one != task]
                self._changed.notify_all()

    def _done(self, task: Task) -> PredictedSpectra | str:
        energy = array_to_wire(np.frombuffer(task.energy))
        try:
            answer = self._started().ask(
                {"structure": task.structure, "format": task.format, "edge": task.edge, "energy": energy}
            )
        except OSError as error:  # it died, or could not be started
            self._crashes += 1
            if self._process is not None:
                self._process.close()
                self._process = None
            return f"its process ended ({error})"
        self._crashes = 0
        return answer["error"] if "error" in answer else spectra_from_wire(answer)

    def _started(self) -> ChildProcess:
        with self._changed:
            if self._closed:
                raise ChildProcessError("it is closed")
            if self._process is None:
                self._process = ChildProcess(WORKER, environment=ONE_THREAD)
            return self._process


class Refinement:
    """Put what is computed of one run's leading candidates into its prediction."""

    def __init__(self, escalation: Escalation, candidates: Iterable[Candidate]) -> None:
        self._escalation = escalation
        self._candidates = {candidate.name: candidate for candidate in candidates}
        self._grid: tuple[str, bytes] | None = None
        self._tasks: dict[str, Task] = {}
        self._taken: frozenset[str] = frozenset()

    def refined(self, prediction: Prediction) -> Prediction | None:
        """Return the model's prediction with all spectra computed so far in it, each with its source; None where none is new.

        All predictions of one run have the same edge and energies.
        """
        self._grid = prediction.spectra.edge, prediction.spectra.energy.tobytes()
        known = {name: self._escalation.known(task) for name, task in self._tasks.items()}
        computed = {name: found for name, found in known.items() if isinstance(found, PredictedSpectra)}
        if computed.keys() == self._taken:
            return None
        self._taken = frozenset(computed)
        spectra = prediction.spectra
        for name, found in computed.items():
            spectra = spectra.with_rows(replace(found, candidate=(name,)))
        return replace(prediction, spectra=spectra)

    def lead(self, names: Sequence[str]) -> None:
        """Have the first LEADING of these candidates computed, best first; before the first `refined` nothing is done."""
        if self._grid is None:
            return
        edge, energy = self._grid
        leading = [self._candidates[name] for name in names[:LEADING]]
        tasks = {one.name: Task(one.structure, one.format, edge, energy) for one in leading}
        self._tasks |= tasks
        self._escalation.want(list(tasks.values()))

    def remarks(self) -> tuple[str, ...]:
        """Say which candidates that led keep the model's spectrum, and why."""
        found = {name: self._escalation.known(task) for name, task in self._tasks.items()}
        return tuple(
            f"candidate {name!r} was not computed from first principles: {why}"
            for name, why in found.items()
            if isinstance(why, str)
        )

    def end(self) -> None:
        """Want no more; what is being computed is finished and remembered."""
        self._escalation.want([])
