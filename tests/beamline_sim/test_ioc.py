"""The served beamline as any client of Channel Access sees it."""

import re
import subprocess
import sys
import time
from importlib.resources import files

import epics
import numpy as np
import pytest

from xas_bluesky.devices import connect_devices

E0 = 2472.0


@pytest.fixture(scope="module")
def pv(ioc):
    connect_devices(ioc.settings())  # tells Channel Access where the server is
    made = {}

    def get(name):
        if name not in made:
            made[name] = epics.PV(ioc.prefix + name, auto_monitor=False)
            assert made[name].wait_for_connection(timeout=10)
        return made[name]

    return get


@pytest.fixture
def mono(pv):
    """The motor record, quick and at the edge; put back so whatever a test did."""

    def reset():
        for field, value in {"STOP": 1, "VELO": 10.0, "BDST": 0.0, "HLM": E0 + 1000, "LLM": E0 - 1000, "VAL": E0}.items():
            pv(f"mono.{field}").put(value, wait=True, timeout=10)

    reset()
    yield lambda field: pv(f"mono.{field}")
    reset()


def until(reached, seconds=10):
    end = time.monotonic() + seconds
    while not reached():
        assert time.monotonic() < end
        time.sleep(0.01)


def count(pv):
    assert pv("scaler:start").put(1, wait=True, timeout=10) == 1
    return {name: pv(f"scaler:{name}").get(timeout=5) for name in ("i0", "itrans", "irefer")} | {
        f"roi{number}": pv(f"fluor:{number}:roi").get(timeout=5) for number in (1, 2, 3, 4)
    }


def test_a_move_is_done_when_the_put_completes(mono):
    seen = []
    done = epics.PV(mono("DMOV").pvname, callback=lambda value, **_: seen.append(value))
    assert done.wait_for_connection(timeout=10)
    until(lambda: seen == [1])
    assert mono("VAL").put(E0 + 8, wait=True, timeout=10) == 1
    assert mono("RBV").get() == pytest.approx(E0 + 8, abs=0.2)
    assert (mono("DMOV").get(), mono("MOVN").get(), mono("VAL").get()) == (1, 0, E0 + 8)
    until(lambda: seen == [1, 0, 1])
    mono("VAL").put(E0 + 8, wait=True, timeout=10)  # to where it is: a pulse, as clients wait for one
    until(lambda: seen == [1, 0, 1, 0, 1])
    done.clear_callbacks()  # the channel is the devices' too


def test_stop_stops_on_the_way(mono):
    mono("VELO").put(0.01, wait=True)  # 10 eV in a second
    mono("VAL").put(E0 + 100)
    until(lambda: mono("RBV").get() > E0 + 2)
    assert mono("MOVN").get() == 1
    mono("STOP").put(1, wait=True, timeout=10)
    stopped = mono("RBV").get()
    assert mono("DMOV").get() == 1
    assert E0 + 2 < stopped < E0 + 90
    assert mono("VAL").get() == pytest.approx(stopped)
    time.sleep(0.3)
    assert mono("RBV").get() == stopped


def test_the_latest_of_two_targets_is_gone_to(mono):
    mono("VELO").put(0.01, wait=True)
    mono("VAL").put(E0 + 100)
    until(lambda: mono("RBV").get() > E0 + 1)
    mono("VELO").put(10.0, wait=True)
    assert mono("VAL").put(E0 - 3, wait=True, timeout=10) == 1
    assert mono("RBV").get() == pytest.approx(E0 - 3, abs=0.2)


def test_limits_are_enforced_and_can_be_moved(mono):
    at = mono("RBV").get()
    mono("HLM").put(E0 + 5, wait=True)
    mono("VAL").put(E0 + 6, wait=True, timeout=10)
    assert (mono("VAL").get(), mono("RBV").get()) == (E0, at)
    assert mono("VAL").get_ctrlvars()["upper_ctrl_limit"] == E0 + 5
    mono("HLM").put(E0 + 7, wait=True)
    mono("VAL").put(E0 + 6, wait=True, timeout=10)
    assert mono("VAL").get() == E0 + 6


def test_backlash_is_taken_out_by_coming_from_one_side(mono):
    seen = []
    readback = epics.PV(mono("RBV").pvname, callback=lambda value, **_: seen.append(value))
    assert readback.wait_for_connection(timeout=10)
    mono("BDST").put(2.0, wait=True)
    mono("VAL").put(E0 + 10, wait=True, timeout=10)
    until(lambda: seen and seen[-1] > E0 + 9)
    assert max(seen) < E0 + 10.5  # on the way up it goes straight
    seen.clear()
    mono("VAL").put(E0 + 5, wait=True, timeout=10)
    until(lambda: seen and seen[-1] == pytest.approx(E0 + 5, abs=0.2))
    assert min(seen) < E0 + 3.5
    readback.clear_callbacks()


def test_without_beam_there_are_dark_counts_only(pv):
    bright = count(pv)
    assert min(bright.values()) > 100
    for switch, back in (("shutter:close", ("shutter:open", 1)), ("sim:dump", ("sim:dump", 0))):
        pv(switch).put(1, wait=True)
        dark = count(pv)
        pv(back[0]).put(back[1], wait=True)
        assert max(dark.values()) < 60, switch  # 10 are expected
        assert pv("ring:current").get() == 400.0
    assert count(pv)["i0"] == pytest.approx(bright["i0"], rel=0.01)


def test_the_stage_brings_each_sample_into_the_beam(pv, mono):
    mono("VAL").put(E0 + 7, wait=True, timeout=10)  # where the sulfone has its white line, and cysteine has not
    seen = {}
    for position in (0.0, 10.0, 5.0):
        pv("stage").put(position, wait=True, timeout=10)
        seen[position] = count(pv)["roi1"]
    pv("stage").put(0.0, wait=True, timeout=10)
    assert seen[0.0] > 2 * seen[10.0]
    assert seen[10.0] > 3 * seen[5.0]  # nothing between them but the background


def test_a_longer_dwell_counts_more_and_dead_time_is_in_the_rates(pv):
    short = count(pv)
    pv("scaler:dwell").put(4.0, wait=True)
    long = count(pv)
    rates = [(pv(f"fluor:{number}:icr").get(), pv(f"fluor:{number}:ocr").get()) for number in (1, 2, 3, 4)]
    pv("scaler:dwell").put(1.0, wait=True)
    assert long["i0"] == pytest.approx(4 * short["i0"], rel=0.01)
    assert all(outgoing == pytest.approx(incoming / (1 + incoming * 1e-6)) for incoming, outgoing in rates)
    assert len({incoming for incoming, _ in rates}) == 4


def test_a_counter_can_say_nan(pv):
    pv("sim:nan").put("itrans", wait=True)
    counted = count(pv)
    pv("sim:nan").put("none", wait=True)
    assert np.isnan(counted["itrans"])
    assert counted["i0"] > 0
    assert not np.isnan(count(pv)["itrans"])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"--port": "{port}"}, r"port {port} is in use on 127.0.0.1; give another --port|cannot serve on 127.0.0.1"),
        ({"--edge": "Cu K"}, "without the Cu K edge"),
        ({"--interface": "203.0.113.1"}, "cannot serve on 203.0.113.1"),
    ],
)
def test_what_cannot_be_served_is_said(ioc, change, message):
    options = {"--edge": "S K"} | change
    given = [part.format(port=ioc.port) for option in options.items() for part in option]
    spectrum = files("xas_bluesky") / "data" / "measured" / "cysteine.csv"
    command = [sys.executable, "-m", "xas_bluesky.cli", "ioc", str(spectrum), *given]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 2
    assert re.search(message.format(port=ioc.port), done.stderr)
