import os
import signal
import subprocess
import sys

import pytest
from bluesky import RunEngine
from bluesky.plans import count

from xas_bluesky.beamline_sim import SimulatedBeamline
from xas_bluesky.errors import SettingsError
from xas_bluesky.metadata import SavedMetadata

WRITER = """
import sys
from pathlib import Path
from xas_bluesky.metadata import SavedMetadata
metadata = SavedMetadata(Path(sys.argv[1]))
for number in range(10**6):
    metadata["scan_id"] = number
    if number == 20:
        print("going", flush=True)
"""


@pytest.fixture
def path(tmp_path):
    return tmp_path / "folder" / "metadata.json"


def test_a_run_engine_goes_on_counting_after_it_was_made_again(path):
    beamline = SimulatedBeamline(lambda energy: 0 * energy, "S K")
    found = []
    for _ in range(2):
        metadata = SavedMetadata(path)
        engine = RunEngine(metadata)
        engine.md["proposal"] = {"id": 7}
        engine(count([beamline.scaler]), lambda _, doc: found.append(doc.get("scan_id")))
    assert [scan_id for scan_id in found if scan_id] == [1, 2]
    assert SavedMetadata(path)["proposal"] == {"id": 7}


def test_two_processes_keep_each_others_keys(path):
    first, second = SavedMetadata(path), SavedMetadata(path)
    first["cycle"] = "2026-3"
    second["proposal"] = 7
    del first["cycle"]
    first["operator"] = "me"
    assert dict(SavedMetadata(path)) == {"proposal": 7, "operator": "me"}


def test_a_process_that_is_killed_while_it_writes_leaves_whole_metadata(path):
    with subprocess.Popen([sys.executable, "-c", WRITER, path], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "going\n"
        os.kill(process.pid, signal.SIGKILL)
    assert SavedMetadata(path)["scan_id"] >= 20


def test_what_cannot_be_kept_is_said(path):
    metadata = SavedMetadata(path)
    with pytest.raises(SettingsError, match=r"RE.md\['detector'\]: .* cannot be kept"):
        metadata["detector"] = object()
    assert "detector" not in metadata
    path.write_text("[1]")
    with pytest.raises(SettingsError, match=r"metadata\.json: holds no metadata"):
        SavedMetadata(path)
    path.write_text("{torn")
    with pytest.raises(SettingsError, match="move it away"):
        SavedMetadata(path)
