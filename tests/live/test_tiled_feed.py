"""Runs followed through a real Tiled server, while a real RunEngine measures them."""

import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from bluesky import RunEngine
from bluesky import plan_stubs as bps
from event_model import pack_event_page, sanitize_doc, unpack_event_page
from ophyd.sim import SynSignal

from xas_bluesky.errors import CatalogError
from xas_bluesky.live.tiled_feed import follow_tiled
from xas_bluesky.results import Catalog, open_catalog

# Tiled 0.2.20 has not followed a deprecation of websockets 17
pytestmark = pytest.mark.filterwarnings(r"ignore:connect\(\) must be used as a context manager:DeprecationWarning")

OWN = """
from xas_bluesky.results import open_catalog
catalog = open_catalog(folder)
print("ready", flush=True)
sys.stdin.read()
"""
SERVE = """
from pathlib import Path
from tiled.server import SimpleTiledServer
server = SimpleTiledServer(Path(folder) / "server", api_key="secret", readable_storage=[Path(folder) / "files"])
print(server.port, flush=True)
sys.stdin.read()
server.close()
"""


def wait_for(condition: Callable[[], object], seconds: float = 20) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.005)


class Received:
    """What was followed, by run."""

    def __init__(self) -> None:
        self.documents: list[tuple[str, dict[str, Any]]] = []
        self.threads: set[int] = set()

    def __call__(self, name: str, doc: dict[str, Any]) -> None:
        self.documents.append((name, doc))
        self.threads.add(threading.get_ident())

    def points(self, uid: str, stream: str = "primary") -> dict[int, Any]:
        """Values by sequence number, the latest that were given."""
        documents = list(self.documents)
        mine = {
            doc["uid"] for name, doc in documents if name == "descriptor" and doc["run_start"] == uid and doc["name"] == stream
        }
        pages = (doc if name == "event_page" else pack_event_page(doc) for name, doc in documents if name.startswith("event"))
        events = (event for page in pages if page["descriptor"] in mine for event in unpack_event_page(page))
        return {event["seq_num"]: event["data"] for event in events}

    def stopped(self, uid: str) -> list[str]:
        return [doc["exit_status"] for name, doc in list(self.documents) if name == "stop" and doc["run_start"] == uid]


@contextmanager
def following(catalog: Catalog) -> Iterator[Received]:
    received, stop = Received(), threading.Event()
    thread = threading.Thread(target=follow_tiled, args=(catalog, received, stop), daemon=True)
    thread.start()
    try:
        yield received
    finally:
        stop.set()
        thread.join(60.0)
    assert not thread.is_alive(), "it does not end when it is told to"


def greet(catalog: Catalog, received: Received) -> None:
    """Write runs until the subscription stands that tells of new ones."""
    writer = catalog.writer()
    for _ in range(100):
        uid = str(uuid.uuid4())
        writer("start", {"uid": uid, "time": time.time()})
        end = {"uid": f"end of {uid}", "run_start": uid, "time": time.time(), "exit_status": "success"}
        writer("stop", end)
        with suppress(AssertionError):
            wait_for(lambda uid=uid: received.stopped(uid), seconds=0.5)
            break
    writer.close()
    assert received.documents
    received.documents.clear()


@contextmanager
def process(code: str, folder: Path) -> Iterator["subprocess.Popen[str]"]:
    command = [sys.executable, "-c", f"import sys\nfolder = {str(folder)!r}\n{code}"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as started:
        try:
            yield started
        finally:
            started.kill()


@pytest.fixture
def streamed_only(monkeypatch):
    """Keep the looks away that would hide a subscription that gives nothing."""
    monkeypatch.setattr("xas_bluesky.live.tiled_feed.LOOK", 1000.0)


@pytest.fixture
def detectors():
    readings = iter(range(1000))
    return [
        SynSignal(lambda: next(readings) * 0.5, name="i0"),
        SynSignal(lambda: np.arange(3) * 2.0, name="elements"),
        SynSignal(lambda: np.arange(40) * 1.0, name="spectrum"),  # Tiled keeps it apart from the table
    ]


class Beamline:
    """A RunEngine whose runs are written to a catalog."""

    def __init__(self, catalog: Catalog) -> None:
        self.writer = catalog.writer()
        self.data: list[dict[str, Any]] = []
        self.uid = ""
        self.engine = RunEngine({})
        self.engine.subscribe(self.writer)
        self.engine.subscribe(lambda _, doc: self.data.append(sanitize_doc(doc["data"])), "event")

    def measure(self, detectors, count, *, meanwhile: Callable[[int], object] = lambda _: None) -> str:
        """Measure `count` points; `meanwhile` is called after each."""
        self.data.clear()

        def plan():
            self.uid = yield from bps.open_run()
            for point in range(1, count + 1):
                yield from bps.trigger_and_read(detectors)
                meanwhile(point)
            yield from bps.close_run()

        self.engine(plan())
        return self.uid


@pytest.mark.usefixtures("streamed_only")
def test_run_is_followed_point_by_point(catalog, detectors):
    beamline = Beamline(catalog)
    before = beamline.measure(detectors, 2)
    beamline.writer.close()
    beamline = Beamline(catalog)
    with following(catalog) as received:
        greet(catalog, received)
        uid = beamline.measure(detectors, 6, meanwhile=lambda point: wait_for(lambda: point in received.points(beamline.uid)))
        wait_for(lambda: received.stopped(uid))
    assert list(received.points(uid).values()) == beamline.data
    assert received.stopped(uid) == ["success"]
    names = [name for name, _ in received.documents]
    assert names[:2] == ["start", "descriptor"]
    assert names[-1] == "stop"
    assert len(received.threads) == 1
    assert before not in {doc["uid"] for name, doc in received.documents if name == "start"}
    beamline.writer.close()


def test_run_joined_half_way_comes_whole(catalog, detectors):
    beamline = Beamline(catalog)
    joined: list[Received] = []
    with ExitStack() as stack:

        def join(point: int) -> None:
            if point == 5:
                joined.append(stack.enter_context(following(catalog)))
            if point >= 5:
                wait_for(lambda: len(joined[0].points(beamline.uid)) == point)

        uid = beamline.measure(detectors, 8, meanwhile=join)
        wait_for(lambda: joined[0].stopped(uid))
    assert list(joined[0].points(uid).values()) == beamline.data
    beamline.writer.close()


@pytest.mark.slow
def test_server_that_dies_and_comes_back_costs_no_point(tmp_path, detectors, monkeypatch, caplog):
    monkeypatch.setattr("tiled.client.utils.TILED_RETRY_ATTEMPTS", 2)  # as if Tiled were first imported here
    monkeypatch.setattr("tiled.client.utils.TILED_RETRY_TIMEOUT", 2.0)
    with process(OWN, tmp_path) as server:
        assert server.stdout.readline() == "ready\n"
        with open_catalog(tmp_path) as catalog, following(catalog) as received:
            beamline = Beamline(catalog)

            def kill_at_the_fifth(point: int) -> None:
                if point == 5:
                    wait_for(lambda: len(received.points(beamline.uid)) == 5)
                    server.kill()
                    server.wait()

            uid = beamline.measure(detectors, 12, meanwhile=kill_at_the_fifth)
            wait_for(lambda: received.stopped(uid))  # from the backup: there is no server
            assert [received.points(uid)[number] for number in range(1, 13)] == beamline.data
            with process(OWN, tmp_path) as successor:
                assert successor.stdout.readline() == "ready\n"
                wait_for(lambda: uid in reconnected(catalog))
                again = Beamline(catalog)
                later = again.measure(detectors, 4)
                wait_for(lambda: received.stopped(later))
                assert list(received.points(later).values()) == again.data
                again.writer.close()
            beamline.writer.close()
            attempts = caplog.text.count("trying again")
            wait_for(lambda: caplog.text.count("trying again") > attempts)  # it is to end while there is no server, too


def reconnected(catalog: Catalog) -> dict[str, Any]:
    try:
        return catalog.latest_runs(1)
    except CatalogError:
        return {}


@pytest.mark.slow
@pytest.mark.usefixtures("streamed_only")
def test_fly_scan_is_followed_though_its_files_are_elsewhere(tmp_path):
    (tmp_path / "files").mkdir()
    values = {"energy": np.linspace(8979, 8990, 9), "spectrum": np.arange(36.0).reshape(9, 4)}
    with h5py.File(tmp_path / "files" / "fly.h5", "w") as file:
        for key, array in values.items():
            file[key] = array
    uri = f"file://localhost{tmp_path}/files/fly.h5"
    data_keys = {
        key: {"dtype": "array", "shape": array.shape[1:], "source": "file", "external": "STREAM:"}
        for key, array in values.items()
    }
    described = {"name": "primary", "data_keys": data_keys, "configuration": {}, "hints": {}, "object_keys": {}}
    with process(SERVE, tmp_path) as server:
        port = int(server.stdout.readline())
        with open_catalog(f"http://127.0.0.1:{port}?api_key=secret") as catalog, following(catalog) as received:
            greet(catalog, received)
            writer = catalog.writer()
            writer("start", {"uid": "the-run", "time": 0.0})
            writer("descriptor", {**described, "uid": "the-descriptor", "time": 0.0, "run_start": "the-run"})
            for key in values:
                parameters = {"dataset": f"/{key}", "chunk_shape": [3]}
                resource = {"uid": key, "data_key": key, "mimetype": "application/x-hdf5", "uri": uri}
                writer("stream_resource", {**resource, "run_start": "the-run", "parameters": parameters})
            for first in (0, 3, 6):
                for key in values:
                    indices, seq_nums = {"start": first, "stop": first + 3}, {"start": first + 1, "stop": first + 4}
                    datum = {"uid": f"{key}/{first}", "stream_resource": key, "descriptor": "the-descriptor"}
                    writer("stream_datum", {**datum, "indices": indices, "seq_nums": seq_nums})
                expected = {row + 1: {key: array[row].tolist() for key, array in values.items()} for row in range(first + 3)}
                wait_for(lambda expected=expected: received.points("the-run") == expected)
            ended = {
                "uid": "the-end",
                "time": 1.0,
                "run_start": "the-run",
                "exit_status": "abort",
                "num_events": {"primary": 9},
            }
            writer("stop", ended)
            wait_for(lambda: received.stopped("the-run") == ["abort"])
            writer.close()
