"""Compute the core excitations of a list of molecules into one file, on all cores, whatever interrupts it."""

import logging
import signal
import threading
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from functools import partial
from itertools import islice
from pathlib import Path

import numpy as np
from rdkit import Chem

from xas_bluesky.candidates import Candidate
from xas_bluesky.errors import CalculationError, CandidateError, DatasetError, SettingsError
from xas_bluesky.files import read_candidates
from xas_bluesky.structures import describe, read_molecule
from xas_bluesky.theory.calibration import ELEMENTS, k_edge
from xas_bluesky.theory.cluster import ray_cluster
from xas_bluesky.theory.dataset import Dataset, Result
from xas_bluesky.theory.parts import GrowingFile
from xas_bluesky.theory.progress import Tally, shown
from xas_bluesky.theory.sticks import ComputedMolecule
from xas_bluesky.theory.workers import Outcome, Run, Task, attempt, in_processes, with_second_chance

SAME_POSITION = 1e-3
"""Å, about what the file's precision leaves of a position."""
MOST_REASONS = 3

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Summary:
    """Say what became of the molecules of a list.

    `computed`: how many now; `skipped`: how many before; `failed`: how many could not be computed, `failed_before` of them
    not tried again now; `failures`: name -> why, of all that failed.
    """

    output: str
    computed: int
    failed: int
    failed_before: int
    skipped: int
    molecules_per_core_hour: float
    failures: dict[str, str]

    def __str__(self) -> str:
        speed = f" ({self.molecules_per_core_hour:.0f} per core-hour)" if self.computed else ""
        skipped = f", {self.skipped} computed before" if self.skipped else ""
        before = f" ({self.failed_before} of them before; --retry-failures tries them again)" if self.failed_before else ""
        lines = [f"{self.output}: {self.computed} molecules computed{speed}{skipped}, {self.failed} failed{before}"]
        lines += [f"  {name}: {' '.join(why.split())}" for name, why in islice(self.failures.items(), MOST_REASONS)]
        if self.failed > MOST_REASONS:
            lines.append(f"  and {self.failed - MOST_REASONS} more, in the file's column failure")
        return "\n".join(lines)


def compute_file(
    molecules: Path,
    edges: Sequence[str],
    output: Path,
    workers: int | None = None,
    address: str | None = None,
    retry_failures: bool = False,
) -> Summary:
    """Compute the molecules of a .smi, .csv, .sdf or .xyz file at `edges`, in processes here or on the Ray cluster `address`.

    Raises InputError for an argument that cannot be used, CalculationError when nothing could be computed.
    """
    if workers is not None and workers < 1:
        raise SettingsError(f"{workers} workers: expected at least one; leave the option out for one per core")
    elements = elements_of(edges)
    candidates = read_candidates(molecules)
    method = _provenance()
    with ray_cluster(address) if address else nullcontext(in_processes) as run:
        return run_campaign(candidates, elements, output, calculate, method, run, workers, retry_failures)


def run_campaign(
    candidates: Sequence[Candidate],
    elements: tuple[str, ...],
    output: Path,
    task: Task,
    provenance: Mapping[str, str],
    run: Run = in_processes,
    at_once: int | None = None,
    retry_failures: bool = False,
) -> Summary:
    """Do `task` for every candidate that `output` does not hold yet, and add what came of it there.

    `provenance`: how the task computes; `run`: where, `at_once`: how many at a time (default: one per core).
    Interrupted by Ctrl-C or SIGTERM, what is done is in `output`; killed, it is found there by the next campaign. Raises
    CandidateError when `output` holds another structure under a candidate's name, and as `GrowingFile`, `compute_file`.
    """
    described = {**provenance, "edges": ", ".join(f"{element} K" for element in elements)}
    failures: dict[str, str] = {}
    with GrowingFile(output, described) as file:
        computed = _computed_before(candidates, elements, file)
        failed = {} if retry_failures else _failed_before(candidates, elements, file.dataset)
        done = computed | failed.keys()
        left = [candidate for candidate in candidates if candidate.name not in done]
        tally = Tally(listed=len(candidates), skipped=len(candidates) - len(left))
        work = partial(attempt, task, elements)
        try:
            with _terminable(), shown(tally) as show:
                for outcome in with_second_chance(run, work, left, at_once):
                    result = _result(outcome, elements)
                    file.add(result)
                    if result.failure is None:
                        tally.computed += 1
                        tally.seconds += outcome.seconds
                    else:
                        tally.failed += 1
                        failures[result.name] = result.failure
                    show()
        except KeyboardInterrupt:
            logger.warning("stopped at %s; the same command goes on from there", tally)
            raise
    failures |= failed
    counts = (tally.computed, len(failures), len(failed), len(computed))
    summary = Summary(str(output), *counts, tally.molecules_per_core_hour, failures)
    if not (tally.computed or computed):
        raise CalculationError(str(summary))
    return summary


def calculate(candidate: Candidate, elements: tuple[str, ...]) -> ComputedMolecule:
    """Compute a candidate from first principles: the task of `compute_file`."""
    from xas_bluesky.theory.calculation import compute

    return compute(read_molecule(candidate, *elements), elements)


def elements_of(edges: Sequence[str]) -> tuple[str, ...]:
    """Return the absorbers of `edges`, each once; raises EdgeError for one that cannot be computed."""
    asked = {k_edge(name).absorber for name in edges}
    return tuple(element for element in ELEMENTS if element in asked)


def _provenance() -> dict[str, str]:
    try:
        from xas_bluesky.theory.calculation import provenance
    except ModuleNotFoundError as error:
        raise SettingsError(f"{error.name} is not installed; install xas-bluesky[theory]") from error
    return provenance()


def _computed_before(candidates: Sequence[Candidate], elements: tuple[str, ...], file: GrowingFile) -> set[str]:
    """Return the candidates computed before; raises CandidateError for a name that stands for another structure then."""
    dataset = file.dataset
    rows = {name: row for row, name in enumerate(dataset.name.tolist())}
    ends = np.cumsum(dataset.atoms)
    for candidate in candidates:
        row = rows.get(candidate.name)
        if row is None or candidate.structure == (smiles := str(dataset.smiles[row])):
            continue
        molecule = read_molecule(candidate, *elements)
        same = _canonical(molecule) in (smiles, Chem.CanonSmiles(smiles))
        if same and molecule.GetNumConformers():
            positions = dataset.positions[ends[row] - dataset.atoms[row] : ends[row]]
            same = np.allclose(molecule.GetConformer().GetPositions(), positions, rtol=0, atol=SAME_POSITION)
        if not same:
            raise CandidateError(
                f"{describe(candidate)}: {file.path} holds another structure by this name ({smiles}); rename the candidate, "
                "or name another output"
            )
    return {candidate.name for candidate in candidates if candidate.name in rows}


def _failed_before(candidates: Sequence[Candidate], elements: tuple[str, ...], dataset: Dataset) -> dict[str, str]:
    """Return why candidates failed before, those left out whose structure was another then or is not known."""
    known = [(candidate, dataset.failures[candidate.name]) for candidate in candidates if candidate.name in dataset.failures]
    same = [found for candidate, found in known if found.smiles and found.smiles == _smiles(candidate, elements)]
    return {found.name: str(found.failure) for found in same}


def _result(outcome: Outcome, elements: tuple[str, ...]) -> Result:
    candidate, molecule, failure = outcome.candidate, outcome.molecule, outcome.failure
    if molecule:
        try:
            return Result(candidate.name, molecule.smiles, molecule, None)
        except DatasetError as error:
            failure = str(error)
    return Result(candidate.name, _smiles(candidate, elements), None, str(failure).removeprefix(f"{describe(candidate)}: "))


def _smiles(candidate: Candidate, elements: tuple[str, ...]) -> str:
    try:
        return _canonical(read_molecule(candidate, *elements))
    except CandidateError:
        return candidate.structure if candidate.format == "smiles" else ""


def _canonical(molecule: Chem.Mol) -> str:
    return Chem.MolToSmiles(Chem.RemoveHs(molecule))


@contextmanager
def _terminable() -> Generator[None]:
    """Let SIGTERM interrupt as Ctrl-C does."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
