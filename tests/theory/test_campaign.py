"""Campaigns of real processes, interrupted and killed, with a task that takes no time."""

import json
import logging
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Generator, Sequence
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parent))  # so that worker processes find the tasks: they get this process's path
from campaign_tasks import PROVENANCE, alcohols, eventful, hydrogen_like

from xas_bluesky.candidates import Candidate
from xas_bluesky.errors import CalculationError, CandidateError, DatasetError, EdgeError, SettingsError
from xas_bluesky.theory import Dataset, Result, parts, read_dataset, write_dataset
from xas_bluesky.theory.campaign import Summary, compute_file, elements_of, run_campaign
from xas_bluesky.theory.cluster import ray_cluster
from xas_bluesky.theory.parts import GrowingFile
from xas_bluesky.theory.progress import Tally, shown
from xas_bluesky.theory.workers import Outcome, Task, Work

EDGES = {**PROVENANCE, "edges": "O K"}
WATER = "3\nwater\nO 0 0 0\nH 0 {} 0.587\nH 0 -0.757 0.587\n"


def here(work: Work, candidates: Sequence[Candidate], at_once: int | None) -> Generator[Outcome]:  # noqa: ARG001
    yield from map(work, candidates)


def campaign(candidates: Sequence[Candidate], output: Path, task: Task = hydrogen_like, **options) -> Summary:
    return run_campaign(candidates, ("O",), output, task, PROVENANCE, **{"run": here, **options})


def same_rows(one: Dataset, other: Dataset) -> bool:
    def rows(dataset: Dataset):
        return {
            str(name): (str(dataset.smiles[n]), part.positions.tobytes(), part.energy.tobytes(), part.strength.tobytes())
            for n, name in enumerate(dataset.name)
            for part in [dataset.select([n])]
        }

    return rows(one) == rows(other) and one.failures == other.failures and one.provenance == other.provenance


def until(true: Callable[[], object], seconds: float = 60.0) -> None:
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end
        time.sleep(0.01)


def lines(log: Path) -> list[list[str]]:
    return [line.split(" ", 1) for line in log.read_text().splitlines()] if log.exists() else []


def leaves_only(output: Path) -> bool:
    return [path.name for path in output.parent.iterdir() if path.name.startswith((output.name, f".{output.name}"))] == [
        output.name
    ]


@pytest.fixture
def output(tmp_path: Path) -> Path:
    return tmp_path / "new" / "data.parquet"


TROUBLED = [
    *alcohols(6),
    Candidate("bug atom", "CO", "list.smi:7"),
    Candidate("scf did not converge", "CO"),
    Candidate("torn", "C1CO", "list.smi:9"),
    Candidate("ethane", "CC"),
    Candidate("threads", "CO"),
]
REASONS = {
    "bug atom": "KeyError: 'atom'",
    "scf did not converge": "did not converge",
    "torn": "'C1CO' is not a valid SMILES string; correct or remove it",
    "ethane": "'CC' holds no O, the absorber of this edge; remove it",
    "threads": "1",
}


@pytest.mark.slow
def test_every_molecule_is_computed_or_has_its_reason(output: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "7")
    troubled = [*TROUBLED[:3], Candidate("kills", "CO"), Candidate(f"once {tmp_path / 'marker'}", "CO"), *TROUBLED[3:]]
    found = run_campaign(troubled, ("O",), output, eventful, PROVENANCE, at_once=2)
    killed = "its process was ended twice, by signal 9 (SIGKILL); the memory may not be enough for it"
    assert found.failures == {**REASONS, "kills": killed}
    assert (found.output, found.computed, found.failed, found.skipped) == (str(output), 7, 6, 0)
    assert found.molecules_per_core_hour > 1000
    dataset = read_dataset(output)
    assert {name: failed.failure for name, failed in dataset.failures.items()} == found.failures
    assert dataset.provenance == EDGES
    assert os.environ["OMP_NUM_THREADS"] == "7"
    assert leaves_only(output)
    expected = hydrogen_like(alcohols(3)[2], ("O",))
    part = dataset.select(dataset.name == "alcohol 3")
    assert part.smiles.tolist() == ["CCCO"]
    assert part.numbers.tolist() == expected.numbers.tolist()
    assert part.positions == pytest.approx(expected.positions, abs=1e-5)
    assert part.energy == pytest.approx(expected.sites[0].energy, abs=1e-3)


def test_a_failure_keeps_what_was_given(output: Path):
    given = [Candidate("torn", "C1CO"), Candidate("scf", "OCC"), Candidate("x", "nothing", "", "mol")]
    campaign([*alcohols(1), *given], output, eventful)
    kept = read_dataset(output).failures
    assert {name: failed.smiles for name, failed in kept.items()} == {"torn": "C1CO", "scf": "CCO", "x": ""}


def start(output: Path, log: Path, seconds: float) -> subprocess.Popen[bytes]:
    script = Path(__file__).parent / "campaign_tasks.py"
    arguments = [sys.executable, str(script), str(output), str(log), str(seconds)]
    return subprocess.Popen(arguments, stderr=subprocess.PIPE, start_new_session=True)


@pytest.mark.slow
def test_killed_at_any_moment_it_goes_on_and_redoes_one_molecule_per_worker_at_most(output: Path, tmp_path: Path):
    campaign(alcohols(20), undisturbed := tmp_path / "undisturbed.parquet")
    log, kills = tmp_path / "log", 0
    for moment in (3, 10):
        process = start(output, log, 0.05)
        until(lambda: len(lines(log)) >= moment or process.poll() is not None)  # noqa: B023
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
        kills += 1
        if output.exists():
            read_dataset(output)
    process = start(output, log, 0.0)
    process.communicate(timeout=60)
    assert process.returncode == 0
    assert same_rows(read_dataset(output), read_dataset(undisturbed))
    assert len(lines(log)) <= 20 + 2 * kills
    assert leaves_only(output)


@pytest.mark.slow
def test_workers_end_when_their_parent_is_killed(output: Path, tmp_path: Path):
    log = tmp_path / "log"
    process = start(output, log, 1000.0)
    until(lambda: len(lines(log)) == 2)
    process.kill()
    process.communicate(timeout=20)  # until the workers, which hold stderr, have ended too
    for pid, _ in lines(log):
        assert not Path(f"/proc/{pid}").exists() or " Z " in Path(f"/proc/{pid}/stat").read_text()


@pytest.mark.slow
@pytest.mark.parametrize("stop", [signal.SIGTERM, signal.SIGINT])
def test_stopped_it_leaves_a_complete_file_and_goes_on_from_there(output: Path, tmp_path: Path, stop: signal.Signals):
    log = tmp_path / "log"
    process = start(output, log, 0.1)
    until(lambda: len(lines(log)) >= 6)
    os.killpg(process.pid, stop) if stop == signal.SIGINT else process.terminate()
    stderr = process.communicate(timeout=60)[1].decode()
    assert process.returncode != 0
    assert "the same command goes on from there" in stderr
    assert leaves_only(output)
    done = len(read_dataset(output))
    assert 4 <= done <= 20
    again = campaign(alcohols(20), output)
    assert (again.skipped, again.computed) == (done, 20 - done)


def test_what_is_done_is_not_done_again_and_a_list_can_grow(output: Path):
    campaign(alcohols(2), output)
    before = output.read_bytes()
    found = campaign(alcohols(2), output)
    assert (found.computed, found.skipped, found.molecules_per_core_hour) == (0, 2, 0.0)
    assert output.read_bytes() == before
    assert campaign(alcohols(4), output).computed == 2
    assert read_dataset(output).name.tolist() == [f"alcohol {n}" for n in range(1, 5)]


def test_failures_are_tried_again_when_asked(output: Path):
    listed = [*alcohols(2), Candidate("scf x; y", "CCO"), Candidate("torn", "C1CO")]
    first = campaign(listed[:3], output, eventful)
    assert (first.failed, first.failed_before, first.failures) == (1, 0, {"scf x; y": "x; y"})
    again = campaign(listed[1:], output)
    assert (again.computed, again.skipped, again.failed, again.failed_before) == (0, 1, 2, 1)
    assert str(again).splitlines() == [
        f"{output}: 0 molecules computed, 1 computed before, 2 failed (1 of them before; --retry-failures tries them again)",
        "  torn: 'C1CO' is not a valid SMILES string; correct or remove it",
        "  scf x; y: x; y",
    ]
    assert campaign(listed[:2], output).failures == {}
    listed = listed[:3]
    found = campaign(listed, output, retry_failures=True)
    assert (found.computed, found.skipped) == (1, 2)
    dataset = read_dataset(output)
    assert "scf x; y" in dataset.name
    assert list(dataset.failures) == ["torn"]


def test_what_failed_is_tried_again_when_its_structure_was_corrected(output: Path):
    def torn(*numbers: int) -> Candidate:
        hydrogens = "".join(f"H 0 {number} 0.587\n" for number in numbers)
        return Candidate("positions", f"{1 + len(numbers)}\n\nO 0 0 0\n{hydrogens}", "", "xyz")

    before = [Candidate("torn", "C1CO"), Candidate("scf same", "C(C)O"), Candidate("scf other", "CO"), torn(1)]
    campaign([*alcohols(1), *before], output, eventful)
    assert campaign([*alcohols(1), *before], output, eventful).failed_before == 3
    after = [Candidate("torn", "CCO"), Candidate("scf same", "CCO"), Candidate("scf other", "CCCO"), torn(-0.8, 0.8)]
    found = campaign([*alcohols(1), *after], output)
    assert (found.computed, found.skipped, found.failures) == (3, 1, {"scf same": "same"})
    assert set(read_dataset(output).smiles.tolist()) == {"CO", "CCO", "CCCO", "O"}


def test_parts_are_merged_now_and_then(output: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(parts, "MOST_PARTS", 4)
    seen = []

    def watched(candidate: Candidate, elements: tuple[str, ...]):
        folder = output.with_name("data.parquet.parts")
        seen.append((len(read_dataset(output)) if output.exists() else 0, len(list(folder.glob("[0-9]*")))))
        return hydrogen_like(candidate, elements)

    campaign(alcohols(10), output, watched)
    assert seen == [(0, 0), (0, 1), (0, 2), (0, 3), (4, 0), (4, 1), (4, 2), (4, 3), (8, 0), (8, 1)]
    assert len(read_dataset(output)) == 10


def test_parts_that_were_merged_already_are_merged_again_without_harm(output: Path):
    campaign(alcohols(3), output)
    folder = output.with_name("data.parquet.parts")
    folder.mkdir()
    for n, candidate in enumerate(alcohols(5)[1:]):
        result = Result(candidate.name, candidate.structure, hydrogen_like(candidate, ("O",)), None)
        write_dataset(folder / f"{n:07}.parquet", [result], EDGES)
    (folder / ".0000004.parquet.torn").write_text("PAR1")
    found = campaign(alcohols(5), output)
    assert (found.computed, found.skipped) == (0, 5)
    assert len(read_dataset(output)) == 5
    assert leaves_only(output)


def test_a_file_is_added_to_by_one_process_at_a_time(output: Path):
    with GrowingFile(output, EDGES), pytest.raises(SettingsError, match="another process is adding to it; wait for its end"):
        campaign(alcohols(1), output)
    assert not output.with_name("data.parquet.parts").exists()
    assert campaign(alcohols(1), output).computed == 1


def test_results_of_another_kind_are_not_mixed(output: Path):
    campaign(alcohols(1), output)
    with pytest.raises(
        DatasetError, match=r"data\.parquet: it was made with edges 'O K', not 'C K, O K'; name another output"
    ):
        run_campaign(alcohols(1), ("C", "O"), output, hydrogen_like, PROVENANCE, here)
    with pytest.raises(DatasetError, match="it was made with excitations 'hydrogen-like', not 'other'"):
        run_campaign(alcohols(1), ("O",), output, hydrogen_like, {**PROVENANCE, "excitations": "other"}, here)
    assert leaves_only(output)


def test_a_name_that_stands_for_another_structure_is_refused(output: Path):
    campaign([Candidate("a", "CCO"), Candidate("water", WATER.format(0.757), "", "xyz")], output)
    assert campaign([Candidate("a", "OCC"), Candidate("water", WATER.format(0.757), "", "xyz")], output).skipped == 2
    for other in (Candidate("a", "CO", "b.smi:3"), Candidate("water", WATER.format(0.9), "b.smi:3", "xyz")):
        with pytest.raises(CandidateError, match=r"b\.smi:3: candidate '.*': .*data\.parquet holds another structure"):
            campaign([other], output)


def test_when_nothing_can_be_computed_it_is_said_why(output: Path):
    listed = [Candidate(f"scf {n}", "CO") for n in range(5)]
    for before in ("", r" \(5 of them before; --retry-failures tries them again\)"):
        reasons = r"\n  scf 0: 0\n  scf 1: 1\n  scf 2: 2\n  and 2 more, in the file's column failure"
        with pytest.raises(CalculationError, match=f"data.parquet: 0 molecules computed, 5 failed{before}{reasons}"):
            campaign(listed, output, eventful)
    assert len(read_dataset(output).failures) == 5


def test_an_output_that_cannot_be_used_is_refused(tmp_path: Path):
    file = tmp_path / "file"
    file.write_text("mine")
    with pytest.raises(SettingsError, match="cannot be written"):
        campaign(alcohols(1), file / "data.parquet")
    for taken in (file, tmp_path):
        with pytest.raises(DatasetError, match=f"^{taken}: it exists and is no data set, or .*; name another output"):
            campaign(alcohols(1), taken)
        assert leaves_only(taken)
    assert file.read_text() == "mine"


def test_workers_that_do_not_start_end_the_campaign(output: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(hydrogen_like, "__module__", "nowhere")
    monkeypatch.setitem(sys.modules, "nowhere", sys.modules["campaign_tasks"])
    with pytest.raises(CalculationError, match="ended before its first molecule"):
        run_campaign(alcohols(3), ("O",), output, hydrogen_like, PROVENANCE, at_once=1)
    assert not output.exists()
    assert not output.with_name("data.parquet.parts").exists()


def test_edges():
    assert elements_of(["O K", "C_K", "O-K"]) == ("C", "O")
    for edge in ("Cu K", "S L3"):
        with pytest.raises(EdgeError, match=f"edge '{edge}': there are no constants for it; what can be computed is 'C K', "):
            elements_of(["O K", edge])


def test_the_missing_extra_is_named(output: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    listed = tmp_path / "list.smi"
    listed.write_text("CO methanol\n")
    monkeypatch.delitem(sys.modules, "xas_bluesky.theory.calculation", raising=False)
    monkeypatch.setitem(sys.modules, "pyscf", None)
    with pytest.raises(SettingsError, match=r"pyscf is not installed; install xas-bluesky\[theory\]"):
        compute_file(listed, ["O K"], output)
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(SettingsError, match=r"Ray is not installed; install xas-bluesky\[ray\]"), ray_cluster("auto"):
        pass


@pytest.mark.parametrize("address", ["127.0.0.1:9", "auto", "nonsense"])
def test_a_cluster_that_does_not_answer_is_named(address: str):
    pytest.importorskip("ray")
    with pytest.raises(SettingsError, match=f"Ray cluster '{address}': no connection .*; start one"), ray_cluster(address):
        pass


@pytest.mark.slow
def test_a_ray_cluster_gives_the_same(
    output: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
):
    pytest.importorskip("ray")
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parent))  # for the cluster's nodes
    troubled = [*TROUBLED, Candidate("kills", "CO"), Candidate(f"once {tmp_path / 'marker'}", "CO")]
    with ray_cluster("local") as cluster:
        found = run_campaign(troubled, ("O",), output, eventful, PROVENANCE, cluster, at_once=2)
    killed = "its process was lost twice (WorkerCrashedError); the memory may not be enough for it"
    assert found.failures == {**REASONS, "kills": killed}
    campaign([*alcohols(6), Candidate(f"once {tmp_path / 'marker'}", "CO")], alone := tmp_path / "alone.parquet")
    both = read_dataset(output), read_dataset(alone)
    assert same_rows(*(dataset.select(np.argsort(dataset.name)) for dataset in both))
    assert capfd.readouterr().out == ""


def test_progress_is_a_line_now_and_then(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch):
    tally = Tally(listed=10, skipped=2, started=time.monotonic() - 100)
    with shown(tally) as show:
        for _ in range(8):
            tally.computed += 1
            tally.seconds += 4.0
            show()
    first, last = capsys.readouterr().err.splitlines()
    assert first == "3/10 molecules, 900 molecules per core-hour, 12 min left"
    assert last == "10/10 molecules, 900 molecules per core-hour, 0 s left"
    monkeypatch.setenv("FORCE_COLOR", "1")
    with shown(tally) as show:
        tally.failed += 1
        show()
    assert "1 failed" in capsys.readouterr().err


@pytest.mark.slow
def test_the_true_calculation(output: Path, tmp_path: Path):
    pytest.importorskip("pyscf")
    pytest.importorskip("tblite")
    listed = tmp_path / "list.xyz"
    listed.write_text(
        WATER.format(0.757) + "4\nformaldehyde\nC 0 0 0\nO 0 0 1.2\nH 0 .94 -.58\nH 0 -.94 -.58\n1\nneon\nNe 0 0 0\n"
    )
    arguments = ["compute", listed, "--edge", "O K", "--edge", "C K", "-o", output, "--workers", "2", "--json"]
    command = [sys.executable, "-m", "xas_bluesky.cli", *map(str, arguments)]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert ended.returncode == 0, ended.stderr
    found = json.loads(ended.stdout)
    assert (found["computed"], found["failed"], found["skipped"]) == (2, 1, 0)
    assert "neon" in found["failures"]
    assert "3/3 molecules, 1 failed" in ended.stderr
    dataset = read_dataset(output)
    assert dataset.select(dataset.name == "water").positions == pytest.approx(
        np.array([[0, 0, 0], [0, 0.757, 0.587], [0, -0.757, 0.587]]), abs=1e-6
    )
    assert Counter(dataset.site_number.tolist()) == {6: 1, 8: 2}
    assert {"pyscf", "excitations", "geometry", "edges"} <= set(dataset.provenance)
    oxygen = dataset.energy[dataset.sticks_of(dataset.of_element("O"))]
    assert 500 < oxygen.min() < 540


def test_the_logger_says_where_it_stopped(output: Path, caplog: pytest.LogCaptureFixture):
    def stops(candidate: Candidate, elements: tuple[str, ...]):
        if candidate.name == "alcohol 3":
            raise KeyboardInterrupt
        return hydrogen_like(candidate, elements)

    handler = signal.getsignal(signal.SIGTERM)
    with caplog.at_level(logging.WARNING), pytest.raises(KeyboardInterrupt):
        campaign(alcohols(4), output, stops)
    assert "stopped at 2/4 molecules" in caplog.text
    assert len(read_dataset(output)) == 2
    assert signal.getsignal(signal.SIGTERM) == handler
