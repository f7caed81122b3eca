"""What the startup files make of a beamline.toml: the served beamline's devices, cared for."""

import threading
import time
from itertools import pairwise

import pytest
from bluesky import RunEngine

from xas_bluesky.devices.telling import WritePV
from xas_bluesky.errors import SettingsError
from xas_bluesky.session import Session
from xas_bluesky.startup import SETTINGS, make_devices, watch_beam
from xas_bluesky.user_plans import UserPlans

SERVED = "least_current = 50.0\nrecovery = 1.0\n"
BEAM = "least_current = 100\nrecovery = 0.2\ndark = 0.5\n"


def test_a_beamline_of_its_own_is_cared_for_too(ioc, laboratory, kept, tmp_path, monkeypatch):
    path = tmp_path / "beamline.toml"
    served = ioc.toml.read_text()
    assert SERVED in served
    path.write_text(served.replace(SERVED, BEAM))
    monkeypatch.setenv(SETTINGS, str(path))
    devices = make_devices()
    engine = RunEngine({}, call_returns_result=True)
    watch_beam(engine, devices)
    plans = UserPlans(Session(devices, laboratory, kept))
    dump = WritePV(ioc.prefix + "sim:dump", name="dump", setting="test", answer=10.0, put_complete=True)
    dump.wait_for_connection()
    streams, darks, ended = {}, [], []

    def lose_the_beam():
        dump.set(1).wait(10)
        time.sleep(1.0)
        dump.set(0).wait(10)

    losing = threading.Thread(target=lose_the_beam)

    def take(name, doc):
        if name == "descriptor":
            streams[doc["uid"]] = doc["name"]
        elif name == "event" and streams[doc["descriptor"]] == "dark":
            darks.append(doc["data"]["i0"])
        elif name == "event":
            ended.append(time.monotonic())
            if doc["seq_num"] == 3:
                losing.start()

    engine.subscribe(take)
    (uid,) = engine(plans.xas("S K", bounds="-20 20", steps="1", times="0.1", sample="served")).plan_result
    assert uid
    assert len(darks) == 1
    assert 0 <= darks[0] < 1000
    losing.join()
    assert max(after - before for before, after in pairwise(ended)) > 1.0
    assert devices.shutter.read()["shutter"]["value"] == "Close"
    engine.clear_suspenders()
    devices.shutter.set("Open").wait(10)  # as other tests of this process expect it


def test_what_is_no_beamline_is_said(tmp_path, monkeypatch):
    monkeypatch.setenv(SETTINGS, str(tmp_path / "nowhere.toml"))
    with pytest.raises(SettingsError, match=r"nowhere\.toml: cannot be read"):
        make_devices()
    (tmp_path / "empty.toml").write_text("[mono]\nlow = 2000.0\n")
    monkeypatch.setenv(SETTINGS, str(tmp_path / "empty.toml"))
    with pytest.raises(SettingsError, match=r"no \[devices\] to connect to"):
        make_devices()
