import os
import signal
import threading
import time

import bluesky.plan_stubs as bps
import bluesky.preprocessors as bpp
import numpy as np
import pytest
from bluesky import RunEngine

from xas_bluesky.beamline_sim import BeamlineSettings, SimulatedBeamline
from xas_bluesky.beamline_sim.settings import COUNTING
from xas_bluesky.decision.scan_request import regions
from xas_bluesky.documents import Collector
from xas_bluesky.errors import CatalogError
from xas_bluesky.live import LiveReduction, handover, worker_process
from xas_bluesky.live.messages import pack_scan
from xas_bluesky.plans import measure, xas_scan
from xas_bluesky.reduction import reduce_scan

E0 = 2472.0
REQUEST = regions(E0, [-40, -8, 16, 60], [4, 0.75, 4], [1, 1, 1])


def white_line(energy):
    x = energy - E0
    return 0.5 + np.arctan(x / 0.3) / np.pi + 2.0 * np.exp(-0.5 * ((x - 2.0) / 0.8) ** 2)


@pytest.fixture
def beamline():
    return SimulatedBeamline(white_line, "S K", BeamlineSettings(mode="transmission"))


@pytest.fixture
def engine():
    return RunEngine({})


def scan(beamline, request=REQUEST, sample="known", **md):
    return xas_scan(
        beamline.energy, beamline.dwell, beamline.detectors, request, edge="S K", sample=sample, settings=COUNTING, md=md
    )


def in_the_middle(plan, act, at=20):
    """Call `act` once so many points are measured."""
    saved = []

    def after(message):
        if message.command == "save":
            saved.append(message)
            if len(saved) == at:

                def acting():
                    act()
                    yield from bps.null()

                return None, acting()
        return None, None

    return bpp.plan_mutator(plan, after)


def wake(live):
    """Wait until the worker has loaded what it needs."""
    live("start", {"uid": "to wake the worker", "time": 0.0})
    wait_for(lambda: not live.waiting, 60)


def offline(documents):
    collector = Collector()
    for name, doc in documents:
        collector(name, doc)
    return reduce_scan(collector.spectrum(), collector.settings(), collector.remarks())


def same(one, other):
    return pack_scan(one) == pack_scan(other)


@pytest.fixture
def documents(engine):
    """What the RunEngine emits."""
    seen = []
    engine.subscribe(lambda name, doc: seen.append((name, doc)))
    return seen


@pytest.fixture
def written(engine, catalog):
    """A catalog that takes what the RunEngine emits."""
    writer = catalog.writer()
    engine.subscribe(writer)
    yield catalog
    writer.close()


def test_the_live_reduction_is_that_of_the_whole_run(engine, beamline, documents):
    finished, shown = [], []
    with LiveReduction(show=shown.append, finished=[finished.append]) as live:
        engine.subscribe(live)
        (uid,) = engine(scan(beamline))
        live.wait(uid, 90)
        assert same(live.latest(), live.latest(uid))
        assert live.latest("another") is None
    (found,) = finished
    assert same(found, offline(documents))
    assert found.stage == "whole"
    assert found.spectrum.metadata["exit_status"] == "success"
    assert shown
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("xas-live")]


def test_a_slow_scan_is_seen_point_by_point(engine, beamline):
    points = []

    def look(scan):
        points.append((len(scan.spectrum), scan.stage, scan.normalized is None))

    def slowly(message):
        return (None, bps.sleep(0.05)) if message.command == "save" else (None, None)

    with LiveReduction(show=look) as live:
        wake(live)
        engine.subscribe(live)
        engine(bpp.plan_mutator(scan(beamline), slowly))
    counts, stages, partial = zip(*points, strict=True)
    assert list(counts) == sorted(counts)
    assert len(set(counts)) > 10
    assert list(dict.fromkeys(stages)) == ["below the edge", "in the edge", "whole"]
    assert partial[0]
    assert not partial[-1]


@pytest.mark.parametrize("times", [1, 2])
def test_a_worker_that_is_killed_is_replaced_and_catches_up(engine, beamline, documents, written, caplog, times):
    with LiveReduction(copy=written) as live:
        engine.subscribe(live)
        pids = {live.pid}

        def kill():
            os.kill(live.pid, signal.SIGKILL)

        plan = in_the_middle(scan(beamline), kill)
        if times == 2:
            plan = in_the_middle(plan, lambda: (wait_for(lambda: live.pid not in pids), kill()), at=40)
        (uid,) = engine(plan)
        found = live.wait(uid, 90)
        assert live.pid not in pids
    assert found.spectrum.metadata["exit_status"] == "success"
    assert same(found, offline(documents))
    assert caplog.text.count("died; another is started") == times


def wait_for(condition, seconds=20.0):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_without_a_copy_a_killed_worker_costs_points_and_that_is_said(engine, beamline, documents):
    with LiveReduction() as live:
        engine.subscribe(live)

        def kill():
            wait_for(lambda: not live.waiting)
            os.kill(live.pid, signal.SIGKILL)

        (uid,) = engine(in_the_middle(scan(beamline), kill))
        found = live.wait(uid, 90)
    missing = len(REQUEST) - len(found.spectrum)
    assert missing == 20  # those that were on their way to it are sent again
    assert f"{missing} points were measured, but are not in this spectrum" in found.remarks
    assert np.array_equal(found.spectrum.energy, offline(documents).spectrum.energy[missing:])


def test_what_does_not_fit_into_the_queue_is_read_again_and_the_scan_does_not_wait(engine, beamline, documents, written):
    with LiveReduction(copy=written, waiting=5) as live:
        engine.subscribe(live)
        os.kill(live.pid, signal.SIGSTOP)
        began = time.monotonic()
        (uid,) = engine(scan(beamline, notes=2**20 * "x"))  # more than the pipe to the worker takes
        assert time.monotonic() - began < 10
        assert live.latest(uid) is None
        os.kill(live.pid, signal.SIGCONT)
        found = live.wait(uid, 90)
    assert same(found, offline(documents))


def test_a_worker_that_stalls_is_replaced(engine, beamline, documents, written, monkeypatch, caplog):
    monkeypatch.setattr(worker_process, "STALLED", 4.0)
    with LiveReduction(copy=written) as live:
        engine.subscribe(live)
        wake(live)
        os.kill(live.pid, signal.SIGSTOP)
        (uid,) = engine(scan(beamline))
        found = live.wait(uid, 90)
    assert same(found, offline(documents))
    assert "has stalled" in caplog.text


def test_a_worker_that_dies_again_and_again_is_given_up_for_this_run_only(engine, beamline, documents, written, caplog):
    with LiveReduction(copy=written) as live:
        engine.subscribe(live)
        stop = threading.Event()

        def kill_all():
            last = None
            while not stop.is_set():
                if live.pid != last:
                    last = live.pid
                    os.kill(last, signal.SIGKILL)
                time.sleep(0.01)

        killer = threading.Thread(target=kill_all)
        killer.start()
        try:
            (uid,) = engine(scan(beamline))
            wait_for(lambda: f"not reduced: run {uid}" in caplog.text)
        finally:
            stop.set()
            killer.join()
        assert live.latest(uid) is None
        documents.clear()
        (uid,) = engine(scan(beamline))
        assert same(live.wait(uid, 90), offline(documents))


def test_a_run_joined_half_way_is_read_from_its_beginning(engine, beamline, documents, written):
    with LiveReduction(copy=written) as live:
        (uid,) = engine(in_the_middle(scan(beamline), lambda: engine.subscribe(live)))
        found = live.wait(uid, 90)
    assert same(found, offline(documents))


class SlowCopy:
    """The documents of one run, which come when they are released."""

    def __init__(self, documents):
        self.documents_of_it, self.released = documents, threading.Event()

    def documents(self, _uid):
        assert self.released.wait(60)
        yield from self.documents_of_it

    def latest_runs(self, _count):
        return {}


class Unreadable:
    def documents(self, uid):
        raise CatalogError(f"run {uid}: the server is away")

    def latest_runs(self, _count):
        return {}


def test_a_run_of_which_only_the_stop_came_waits_for_the_copy(engine, beamline, documents):
    (uid,) = engine(scan(beamline))
    copy = SlowCopy(documents)
    with LiveReduction(copy=copy) as live:
        wake(live)
        live(*documents[-1])
        wait_for(lambda: not live.waiting)
        assert live.wait(uid, 0.2) is None
        copy.released.set()
        assert same(live.wait(uid, 90), offline(documents))


def test_a_copy_that_cannot_be_read_costs_points_and_that_is_said(engine, beamline, documents, monkeypatch):
    monkeypatch.setattr(handover, "AGAIN", (0.0, 0.1))
    engine(scan(beamline))
    finished = []
    with LiveReduction(copy=Unreadable(), finished=[finished.append]) as live:
        for name, doc in documents:
            if name != "event" or doc["seq_num"] != 7:
                live(name, doc)
    (found,) = finished
    assert "1 points were measured, but are not in this spectrum" in found.remarks


def test_a_worker_that_had_nothing_to_do_is_not_taken_to_have_stalled(monkeypatch):
    monkeypatch.setattr(worker_process, "STALLED", 1.0)
    with LiveReduction() as live:
        wake(live)
        worker = live._worker
        time.sleep(1.2)
        worker.send([("start", {"uid": "the first for long", "time": 0.0})])
        assert not worker.stalled


def test_runs_that_are_nested_and_one_that_is_no_absorption_scan(engine, beamline):
    finished = []

    @bpp.set_run_key_decorator("outer")
    @bpp.run_decorator(md={"purpose": "temperature"})
    def outer():
        yield from bps.trigger_and_read([beamline.dwell])
        yield from bpp.set_run_key_wrapper(scan(beamline, sample="inner"), "inner")
        yield from bps.trigger_and_read([beamline.dwell])

    with LiveReduction(finished=[finished.append]) as live:
        engine.subscribe(live)
        engine(outer())
    assert [scan.spectrum.metadata["sample"] for scan in finished] == ["inner"]
    assert finished[0].stage == "whole"


def test_a_run_that_fails_is_reduced_as_far_as_it_went(engine, beamline):
    @bpp.run_decorator(md={"xas": {"edge": "S K"}})
    def fails():
        yield from measure(beamline.energy, beamline.dwell, beamline.detectors, REQUEST)
        raise RuntimeError("the hutch was opened")

    finished = []
    with LiveReduction(finished=[finished.append]) as live:
        engine.subscribe(live)
        with pytest.raises(RuntimeError, match="hutch"):
            engine(fails())
    (found,) = finished
    assert len(found.spectrum) == len(REQUEST)
    assert "the run ended by fail" in found.remarks


def test_what_is_called_with_a_finished_scan_may_fail(engine, beamline, caplog):
    finished = []

    def full_disk(_scan):
        raise OSError("no space left")

    with LiveReduction(finished=[full_disk, finished.append]) as live:
        engine.subscribe(live)
        (uid,) = engine(scan(beamline))
    assert len(finished) == 1
    assert f"run {uid}: full_disk failed" in caplog.text


def test_documents_that_cannot_be_used_cost_nothing_else(engine, beamline, documents, capfd):
    with LiveReduction() as live:
        engine.subscribe(live)
        live("event", {"descriptor": "unknown"})
        live("descriptor", {"uid": "bare", "run_start": "bare", "name": "primary", "data_keys": {"energy": 3}})
        live("stop", {"uid": "x", "run_start": "unknown", "exit_status": "success", "time": 0.0})
        live("start", {"uid": object(), "time": 0.0})
        endless = {"uid": "endless"}
        endless["more"] = endless
        live("start", endless)
        (uid,) = engine(scan(beamline))
        assert same(live.wait(uid, 90), offline(documents))
    assert "a descriptor document cannot be used" in capfd.readouterr().err


def test_closing_twice_and_documents_after_it():
    live = LiveReduction()
    live.close()
    live.close()
    live("start", {"uid": "late", "time": 0.0})
    assert live.latest() is None
