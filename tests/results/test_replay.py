"""Documents read again, of real runs, from a real Tiled server and from the writer's backup."""

import json
import math
import time
import uuid

import h5py
import numpy as np
import pytest
from bluesky import RunEngine
from bluesky import plan_stubs as bps
from event_model import DocumentNames, sanitize_doc, schema_validators
from ophyd.sim import SynSignal
from tiled.structures.core import Spec

from xas_bluesky.errors import CatalogError
from xas_bluesky.results import open_catalog
from xas_bluesky.results.replay import MOST_VALUES, Points, read_backup


@pytest.fixture
def detectors():
    readings = iter(range(1000))
    return [
        SynSignal(lambda: next(readings) * 0.5, name="i0"),
        SynSignal(lambda: np.arange(3) * 2.0, name="elements"),
        SynSignal(lambda: np.arange(40) * 1.0, name="spectrum"),  # Tiled keeps it apart from the table
        SynSignal(lambda: "open", name="shutter"),
    ]


def measure(catalog, plan):
    """Run `plan` and return its documents; it has been written when it ends."""
    documents = []
    writer = catalog.writer()
    engine = RunEngine({})
    engine.subscribe(writer)
    engine.subscribe(lambda name, doc: documents.append((name, sanitize_doc(doc))))
    engine(plan)
    writer.close()
    return documents


def events(documents, stream="primary"):
    descriptors = [doc["uid"] for name, doc in documents if name == "descriptor" and doc["name"] == stream]
    return [doc for name, doc in documents if name == "event" and doc["descriptor"] in descriptors]


def test_run_comes_back_from_tiled(catalog, detectors):
    def plan():
        yield from bps.open_run(md={"sample_name": "copper"})
        yield from bps.trigger_and_read(detectors[:1], name="baseline")
        for _ in range(5):
            yield from bps.trigger_and_read(detectors)
        yield from bps.close_run()

    measured = measure(catalog, plan())
    start, stop = measured[0][1], measured[-1][1]
    replayed = list(catalog.documents(start["uid"]))
    assert replayed[0] == ("start", start)
    assert replayed[-1] == ("stop", stop)
    for stream, count in {"primary": 5, "baseline": 1}.items():
        before, after = events(measured, stream), events(replayed, stream)
        assert len(after) == count
        for name in ("descriptor", "seq_num", "time", "data", "timestamps"):
            assert [doc[name] for doc in after] == [doc[name] for doc in before]
    for name, doc in replayed:
        schema_validators[DocumentNames[name]].validate(doc)
    json.dumps(replayed)


def test_run_that_is_being_written_comes_as_far_as_it_is(catalog, detectors):
    seen = []

    def look(uid):
        deadline = time.monotonic() + 60
        while len(seen) < 7 and time.monotonic() < deadline:
            try:
                seen[:] = catalog.documents(uid)
            except CatalogError as error:
                assert "holds no run" in str(error)  # noqa: PT017
            time.sleep(0.01)
        yield from bps.null()

    def plan():
        uid = yield from bps.open_run()
        for _ in range(5):
            yield from bps.trigger_and_read(detectors)
        yield from look(uid)
        yield from bps.trigger_and_read(detectors)
        yield from bps.close_run()

    measured = measure(catalog, plan())
    assert [name for name, _ in seen] == ["start", "descriptor", *["event"] * 5]
    assert [doc["data"] for doc in events(seen)] == [doc["data"] for doc in events(measured)][:5]
    assert len(events(list(catalog.documents(measured[0][1]["uid"])))) == 6
    assert next(iter(catalog.latest_runs(3))) == measured[0][1]["uid"]
    assert catalog.latest_runs(1)[measured[0][1]["uid"]]["stop"]["exit_status"] == "success"


def test_stream_of_another_kind_is_left_out(catalog, caplog):
    run = catalog.runs.create_container(
        key="strange", metadata={"start": {"uid": "strange", "time": 0.0}}, specs=[Spec("BlueskyRun", version="3.0")]
    )
    run.create_container(key="notes", metadata={"author": "somebody"}, specs=[Spec("BlueskyEventStream", version="3.0")])
    assert [name for name, _ in catalog.documents("strange")] == ["start"]
    assert "runs/strange/notes is no stream of events" in caplog.text


def test_run_that_is_not_there_is_named(catalog):
    with pytest.raises(CatalogError, match="holds no run 1234-5678; check its uid"):
        list(catalog.documents("1234-5678"))


def test_backup_goes_first_and_its_last_line_may_be_cut_off(catalog):
    uid = str(uuid.uuid4())
    file = catalog.writer().backup / f"{uid.split('-')[0]}.jsonl"
    file.parent.mkdir(exist_ok=True)
    another = {"name": "start", "doc": {"uid": f"{uid.split('-')[0]}-another"}}
    lines = [
        another,
        {"name": "start", "doc": {"uid": uid}},
        {"name": "event", "doc": {"seq_num": 1, "data": {"i0": math.nan}}},
    ]
    file.write_text("\n".join(json.dumps(line) for line in lines) + '\n{"name": "event", "doc": {"seq_')
    replayed = list(catalog.documents(uid))
    assert [name for name, _ in replayed] == ["start", "event"]
    assert math.isnan(replayed[1][1]["data"]["i0"])
    with file.open("a") as unfinished:
        unfinished.write('num": 2}}\n')
    assert [doc.get("seq_num") for _, doc in read_backup(file, uid)] == [None, 1, 2]
    file.unlink()


def descriptor(**shapes):
    data_keys = {
        key: {"dtype": "array", "shape": shape, "source": "file", "external": "STREAM:"} for key, shape in shapes.items()
    }
    configured = {"configuration": {}, "hints": {}, "object_keys": {}, "data_keys": data_keys}
    return {"uid": "the-descriptor", "time": 0.0, **configured}


def taken(points, **how):
    return {doc["seq_num"]: doc["data"] for _, doc in points.events(**how)}


def test_points_wait_for_each_data_key_that_has_values():
    points = Points(descriptor(energy=[], i0=[], image=[300, 300]), "primary", "the-run")
    assert [key for key, about in points.descriptors[0]["data_keys"].items() if "external" in about] == ["image"]
    assert MOST_VALUES < 300 * 300
    points.take_array("energy", np.array([1.0, 2.0]))
    assert taken(points) == {1: {"energy": 1.0}, 2: {"energy": 2.0}}
    points.take_array("i0", np.array([10.0]))
    assert taken(points) == {1: {"energy": 1.0, "i0": 10.0}}
    points.take_array("energy", np.array([3.0]), 2)
    assert taken(points) == {}
    points.take_array("i0", np.array([20.0, 30.0]), 1)
    points.take_array("image", np.zeros((2, 300, 300)))
    assert taken(points) == {2: {"energy": 2.0, "i0": 20.0}, 3: {"energy": 3.0, "i0": 30.0}}
    points.take_array("i0", np.array([40.0]), 3)
    assert taken(points) == {}
    assert taken(points, whole=False) == {4: {"i0": 40.0}}
    assert points.complete == {1, 2, 3}


def test_values_joined_along_their_first_axis_are_cut_into_points():
    points = Points(descriptor(samples=[4], spectrum=[2, 3]), "primary", "the-run")
    points.take_array("samples", np.arange(8.0))
    points.take_array("spectrum", np.arange(18.0).reshape(6, 3), 2)
    assert taken(points, whole=False)[2] == {"samples": [4.0, 5.0, 6.0, 7.0], "spectrum": [[0.0, 1.0, 2.0], [3.0, 4.0, 5.0]]}
    points.take_array("samples", np.arange(3.0))  # no whole point
    assert taken(points, whole=False) == {}


SERVE = """
from pathlib import Path
from tiled.server import SimpleTiledServer
server = SimpleTiledServer(Path(folder) / "server", api_key="secret", readable_storage=[Path(folder) / "files"])
print(server.port, flush=True)
sys.stdin.read()
server.close()
"""


@pytest.mark.slow
def test_fly_scan_is_read_through_a_server_that_may_read_its_files(tmp_path, in_process, monkeypatch):
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    (tmp_path / "files").mkdir()
    values = {"energy": np.linspace(8979, 8990, 6), "spectrum": np.arange(24.0).reshape(6, 4)}
    with h5py.File(tmp_path / "files" / "fly.h5", "w") as file:
        for key, array in values.items():
            file[key] = array
    uri = f"file://localhost{tmp_path}/files/fly.h5"
    described = descriptor(**{key: array.shape[1:] for key, array in values.items()})
    described["data_keys"]["energy"]["dtype"] = "number"
    server = in_process(SERVE, tmp_path)
    port = int(server.stdout.readline())
    with open_catalog(f"http://127.0.0.1:{port}?api_key=secret") as catalog:
        writer = catalog.writer()
        writer("start", {"uid": "the-run", "time": 0.0})
        writer("descriptor", {**described, "uid": "the-descriptor", "run_start": "the-run", "name": "primary"})
        for key in values:
            parameters = {"dataset": f"/{key}", "chunk_shape": [3]}
            resource = {"uid": key, "data_key": key, "mimetype": "application/x-hdf5", "uri": uri, "parameters": parameters}
            writer("stream_resource", {**resource, "run_start": "the-run"})
        for first in (0, 3):
            for key in values:
                indices, seq_nums = {"start": first, "stop": first + 3}, {"start": first + 1, "stop": first + 4}
                datum = {"uid": f"{key}/{first}", "stream_resource": key, "descriptor": "the-descriptor"}
                writer("stream_datum", {**datum, "indices": indices, "seq_nums": seq_nums})
        writer.close()
        # nobody ended it: it was closed, and written again from its journal
        assert catalog.runs["the-run"].metadata["stop"]["exit_status"] == "abort"
        assert not list((tmp_path / "state").rglob("*.jsonl"))
        replayed = events(list(catalog.documents("the-run")))
    assert [doc["seq_num"] for doc in replayed] == [1, 2, 3, 4, 5, 6]
    for key, array in values.items():
        assert [doc["data"][key] for doc in replayed] == array.tolist()
    assert math.isnan(replayed[0]["time"])
