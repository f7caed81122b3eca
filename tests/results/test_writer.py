import json
import time

import pytest
from bluesky import RunEngine
from bluesky.plans import count
from event_model import sanitize_doc, unpack_event_page
from ophyd.sim import SynSignal

from xas_bluesky.results import open_catalog


def read_backup(path):
    for line in path.read_text().splitlines():
        entry = json.loads(line)
        if entry["name"] == "event_page":
            yield from ({"name": "event", "doc": event} for event in unpack_event_page(entry["doc"]))
        else:
            yield entry


@pytest.mark.slow
def test_nothing_measured_is_lost_when_the_server_dies(tmp_path, in_process, monkeypatch):
    server = in_process("open_catalog(folder)\nprint('ready', flush=True)\nsys.stdin.read()", tmp_path)
    assert server.stdout.readline() == "ready\n"
    with open_catalog(tmp_path) as catalog:
        monkeypatch.setattr("tiled.client.utils.TILED_RETRY_ATTEMPTS", 2)  # as if Tiled were first imported here
        monkeypatch.setattr("tiled.client.utils.TILED_RETRY_TIMEOUT", 2.0)
        documents = []

        def kill_at_the_fifth_event(name, doc):
            documents.append({"name": name, "doc": sanitize_doc(doc)})
            if name == "event" and doc["seq_num"] == 5:
                uid = documents[0]["doc"]["uid"]
                while uid not in catalog.runs or "primary" not in catalog.runs[uid]:
                    time.sleep(0.02)
                server.kill()
                server.wait()

        writer = catalog.writer()
        engine = RunEngine({}, call_returns_result=True)
        engine.subscribe(writer)
        engine.subscribe(kill_at_the_fifth_event)
        began = time.monotonic()
        result = engine(count([SynSignal(name="det")], num=30))
        assert time.monotonic() - began < 5
        assert result.exit_status == "success"
    (backup,) = writer.unwritten
    assert list(read_backup(backup)) == documents
    assert len(documents) == 33
    uid = documents[0]["doc"]["uid"]
    with open_catalog(tmp_path) as again:
        assert again.runs[uid].metadata["stop"]["num_events"] == {"primary": 30}
        assert again.runs[uid]["primary"]["seq_num"].read().tolist() == list(range(1, 31))
    assert not backup.exists()
