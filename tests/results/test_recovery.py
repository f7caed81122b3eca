"""A real Tiled server that is killed in the middle of a run, and started again."""

import json
import os
import socket
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import pytest
from bluesky import RunEngine
from bluesky.plans import count
from bluesky_tiled_plugins import TiledWriter
from ophyd.sim import SynSignal

from xas_bluesky.errors import CatalogError
from xas_bluesky.results import Catalog, open_catalog
from xas_bluesky.results.recovery import LOCK, recover
from xas_bluesky.results.writer import RunWriter

KEY = "a1b2c3d4"


class Server:
    """`tiled serve catalog` in a folder, at one port."""

    def __init__(self, folder: Path, port: int) -> None:
        self.folder, self.port = folder, port
        self.url = f"http://127.0.0.1:{port}/api/v1?api_key={KEY}"
        self.start(init=True)

    def start(self, *, init: bool = False) -> None:
        command = [sys.executable, "-m", "tiled", "serve", "catalog", str(self.folder / "catalog.db")]
        command += ["--write", str(self.folder / "data"), "--write", f"duckdb:///{self.folder / 'tables.db'}"]
        command += ["--api-key", KEY, "--host", "127.0.0.1", "--port", str(self.port), *(["--init"] if init else [])]
        self.process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        end = time.monotonic() + 120
        while time.monotonic() < end:
            try:
                httpx.get(f"http://127.0.0.1:{self.port}/api/v1/", timeout=2, trust_env=False)
                return
            except httpx.HTTPError:
                time.sleep(0.1)
        raise TimeoutError("the server does not start")

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    running = Server(tmp_path_factory.mktemp("server"), port)
    yield running
    running.kill()


@pytest.fixture(autouse=True)
def _state(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    monkeypatch.setattr("tiled.client.utils.TILED_RETRY_ATTEMPTS", 2)  # as if Tiled were first imported here
    monkeypatch.setattr("tiled.client.utils.TILED_RETRY_TIMEOUT", 2.0)


@pytest.mark.slow
def test_a_run_goes_on_without_its_server_and_is_whole_when_it_is_back(server, record, tmp_path):
    started = []
    with open_catalog(server.url) as catalog:

        def kill_at_the_fifth_event(name, doc):
            if name == "start":
                started.append(doc["uid"])
            elif name == "event" and doc["seq_num"] == 5:
                while started[0] not in catalog.runs or "primary" not in catalog.runs[started[0]]:
                    time.sleep(0.02)
                server.kill()

        engine, writer = RunEngine({}), catalog.writer()
        engine.subscribe(writer)
        engine.subscribe(kill_at_the_fifth_event)
        (uid,) = engine(count([SynSignal(name="det", func=lambda: 1.0)], num=30))
        with pytest.raises(CatalogError, match=r"catalog http://127\.0\.0\.1"):
            catalog.save(replace(record, raw_uid=uid))
        server.start()
    assert writer.unwritten == []
    assert {file.name for file in tmp_path.rglob("*") if file.is_file()} == {LOCK}
    with open_catalog(server.url) as again:
        run = again.runs[uid]
        assert run.metadata["stop"]["num_events"] == {"primary": 30}
        assert run["primary"].read().sizes["time"] == 30
        ((key, kept),) = again.analyses.items()
        assert kept.metadata["raw_uid"] == uid
        assert again.load(key).ranking == record.ranking


@pytest.mark.slow
def test_what_the_server_took_in_part_is_written_anew_by_the_next_session(server, tmp_path):
    code = f"""
import os
from bluesky import RunEngine
from bluesky.plans import count
from ophyd.sim import SynSignal
from xas_bluesky.results import open_catalog
engine, catalog = RunEngine({{}}), open_catalog({server.url!r})
engine.subscribe(catalog.writer())
started = []
def end(name, doc):
    if name == "start":
        started.append(doc["uid"])
    if name == "event" and doc["seq_num"] == 7:
        while "primary" not in catalog.runs[started[0]]:
            pass
        os.kill(os.getpid(), 9)
engine.subscribe(end)
engine(count([SynSignal(name="det", func=lambda: 1.0)], num=30))
"""
    killed = subprocess.run([sys.executable, "-c", code], env=dict(os.environ), timeout=120)
    assert killed.returncode == -9
    (left,) = tmp_path.rglob("journal/*.jsonl")
    with open_catalog(server.url) as catalog:
        assert not left.exists()
        (started,) = [run for run in catalog.runs.values() if run.metadata["stop"]["exit_status"] == "abort"]
        assert started.metadata["stop"]["reason"] == "interrupted: the session was killed"
        points = started["primary"].read().sizes["time"]
        assert points == started.metadata["stop"]["num_events"]["primary"]
        assert 6 <= points <= 7


def documents(uid: str, points: int, *, stop: bool = True) -> list[tuple[str, dict[str, Any]]]:
    about = {"uid": f"{uid}d", "time": 0.0, "run_start": uid, "name": "primary", "hints": {}, "configuration": {}}
    keys = {"det": {"dtype": "number", "shape": [], "source": "here"}}
    event = {"descriptor": f"{uid}d", "timestamps": {"det": 0.0}, "filled": {}}
    ended = {"uid": f"{uid}s", "run_start": uid, "time": 9.0, "exit_status": "success", "num_events": {"primary": points}}
    return [
        ("start", {"uid": uid, "time": 0.0}),
        ("descriptor", {**about, "object_keys": {}, "data_keys": keys}),
        *(("event", {**event, "uid": f"{uid}{n}", "seq_num": n, "time": n, "data": {"det": n}}) for n in range(1, points + 1)),
        *([("stop", ended)] if stop else []),
    ]


def put(folder: Path, run: list[tuple[str, dict[str, Any]]]) -> Path:
    folder.mkdir(exist_ok=True)
    file = folder / f"{run[0][1]['uid'].split('-')[0]}.jsonl"
    file.write_text("".join(json.dumps({"name": name, "doc": doc}) + "\n" for name, doc in run))
    return file


def points(catalog: Catalog, uid: str) -> list[int]:
    return catalog.runs[uid]["primary"]["det"].read().tolist()


@pytest.mark.parametrize("stop", [True, False])
def test_a_file_that_holds_less_than_tiled_replaces_nothing(catalog, tmp_path, stop):
    uid = str(uuid4())
    writer = TiledWriter(catalog.runs, batch_size=1)
    for name, doc in documents(uid, 6, stop=stop):
        writer(name, doc)
    left = put(tmp_path / "journal", documents(uid, 4, stop=False))  # a machine that lost its power wrote no more of it
    recover(catalog.runs, tmp_path / "backup", tmp_path / "journal")
    assert points(catalog, uid) == [1, 2, 3, 4, 5, 6]
    assert catalog.runs[uid].metadata.get("stop", {}).get("exit_status") == ("success" if stop else None)
    assert left.exists() is not stop


def test_the_backup_counts_where_the_journal_holds_less(catalog, tmp_path):
    uid = str(uuid4())
    put(tmp_path / "journal", documents(uid, 2, stop=False))
    put(tmp_path / "backup", documents(uid, 5))
    recover(catalog.runs, tmp_path / "backup", tmp_path / "journal")
    assert points(catalog, uid) == [1, 2, 3, 4, 5]
    assert catalog.runs[uid].metadata["stop"]["exit_status"] == "success"
    assert not list(tmp_path.rglob("*.jsonl"))


def test_a_file_that_cannot_be_written_keeps_no_other_from_it(catalog, tmp_path, caplog):
    garbled = put(tmp_path / "backup", documents("00000000-1", 3))
    garbled.write_text("\0\0\0" + garbled.read_text()[3:])
    refused = put(tmp_path / "backup", documents("00000001-1", 3))
    refused.write_text(refused.read_text().replace('"data": {"det": 2}', '"data": {"det": {"no": "number"}}'))
    uid = str(uuid4())
    put(tmp_path / "backup", documents(uid, 3))
    recover(catalog.runs, tmp_path / "backup", tmp_path / "journal")
    assert sorted((tmp_path / "backup").iterdir()) == [garbled, refused]
    assert f"{garbled} waits to be written into Tiled (no run can be read from it" in caplog.text
    assert points(catalog, uid) == [1, 2, 3]


def test_while_another_process_recovers_the_files_nothing_is_done(catalog, tmp_path):
    uid = str(uuid4())
    left = put(tmp_path / "backup", documents(uid, 3))
    code = "import fcntl, sys; lock = open(sys.argv[1], 'w'); fcntl.flock(lock, 2); print('locked', flush=True); input()"
    command = [sys.executable, "-c", code, str(tmp_path / LOCK)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout.readline() == "locked\n"
        recover(catalog.runs, tmp_path / "backup", tmp_path / "journal")
        other.kill()
    assert left.exists()
    assert uid not in catalog.runs
    recover(catalog.runs, tmp_path / "backup", tmp_path / "journal")
    assert points(catalog, uid) == [1, 2, 3]


def test_tiled_has_the_run_though_no_file_can_be_written(catalog, tmp_path):
    (tmp_path / "file").touch()
    uid = str(uuid4())
    writer = RunWriter(catalog.runs, tmp_path / "file" / "backup", tmp_path / "file" / "journal")
    for name, doc in documents(uid, 3):
        writer(name, doc)
    writer.close()
    assert points(catalog, uid) == [1, 2, 3]


def test_a_file_that_is_still_written_to_is_left_alone(catalog, tmp_path):
    (tmp_path / "0ab9d6a4.jsonl").write_text('{"name": "start", "doc": {"uid": "0ab9d6a4-1", "time": 0.0}}\n')
    recover(catalog.runs, tmp_path, tmp_path / "none")
    assert (tmp_path / "0ab9d6a4.jsonl").exists()
    assert "0ab9d6a4-1" not in catalog.runs
