"""Run one task over many molecules on a Ray cluster."""

import logging
import os
import re
import socket
import sys
from collections.abc import Generator, Sequence
from contextlib import contextmanager, redirect_stdout
from itertools import islice
from typing import Any

from xas_bluesky.candidates import Candidate
from xas_bluesky.errors import CalculationError, SettingsError
from xas_bluesky.theory.workers import ONE_THREAD, PATIENCE, Outcome, Run, Work


@contextmanager
def ray_cluster(address: str) -> Generator[Run]:
    """Connect to a Ray cluster ("auto", "local" or host:port) and run there, one core per molecule.

    Its nodes need this package with the extra `theory`. Raises SettingsError when Ray is missing or nothing answers.
    """
    try:
        import ray
    except ModuleNotFoundError as error:
        raise SettingsError("Ray is not installed; install xas-bluesky[ray], or leave --ray out") from error
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    _check_that_something_answers(address)
    with redirect_stdout(sys.stderr):  # Ray reports lost workers there, among our results
        try:
            ray.init(address=address, log_to_driver=False, logging_level=logging.ERROR)
        except (ConnectionError, RuntimeError, ValueError) as error:
            raise _no_connection(address, error) from error
        try:
            yield _on_ray
        finally:
            ray.shutdown()


def _check_that_something_answers(address: str) -> None:
    """Raise SettingsError where Ray itself would wait forever."""
    if place := re.fullmatch(r"([^/:]+):(\d+)", address):
        try:
            socket.create_connection((place[1], int(place[2])), timeout=PATIENCE).close()
        except (OSError, OverflowError) as error:
            raise _no_connection(address, error) from error


def _no_connection(address: str, error: Exception) -> SettingsError:
    reason = str(error).strip().splitlines()[0]
    return SettingsError(
        f"Ray cluster {address!r}: no connection ({reason}); start one with `ray start --head`, or leave --ray out"
    )


def _on_ray(work: Work, candidates: Sequence[Candidate], at_once: int | None) -> Generator[Outcome]:
    import ray
    from ray.exceptions import NodeDiedError, ObjectLostError, OutOfMemoryError, RayError, WorkerCrashedError

    remote: Any = ray.remote(num_cpus=1, max_retries=0, runtime_env={"env_vars": ONE_THREAD})(_call)
    waiting = iter(candidates)
    running: dict[Any, Candidate] = {}
    while True:
        limit = at_once or 2 * max(1, int(ray.cluster_resources().get("CPU", 1)))  # nodes come and go
        running |= {remote.remote(work, candidate): candidate for candidate in islice(waiting, max(0, limit - len(running)))}
        if not running:
            return
        for reference in ray.wait(list(running))[0]:
            candidate = running.pop(reference)
            try:
                yield ray.get(reference)
            except (NodeDiedError, ObjectLostError, OutOfMemoryError, WorkerCrashedError) as error:
                failure = f"its process was lost twice ({type(error).__name__}); the memory may not be enough for it"
                yield Outcome(candidate, None, failure, lost=True)
            except RayError as error:
                reason = str(error).strip().splitlines()[-1]
                raise CalculationError(
                    f"the Ray cluster cannot run the task ({reason}); install this package there"
                ) from error


def _call(work: Work, candidate: Candidate) -> Outcome:
    return work(candidate)
