"""A real RE Manager and Redis list our plans, run, pause, resume and abort them; runs are closed, records kept."""

import os
import shutil
import socket
import subprocess
import sys
import time
from contextlib import ExitStack
from pathlib import Path

import pytest
import zmq

from xas_bluesky.errors import CatalogError
from xas_bluesky.results import open_catalog

STARTUP = Path(__file__).parents[1] / "profile_collection" / "startup"
REDIS = shutil.which("redis-server")
SLOW = """
# simulated seconds last a little, so that a run can be paused
energy._clock._time_scale = 0.03
"""
USER = {"user": "tester", "user_group": "primary"}
PATIENCE = 120.0

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        REDIS is None and not os.environ.get("XAS_BLUESKY_REQUIRE_REDIS"),
        reason="redis-server is not installed (apt-get install redis-server); set XAS_BLUESKY_REQUIRE_REDIS to make this fail",
    ),
]


def free_port():
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]


class Manager:
    """An RE Manager of its own, with our startup files."""

    def __init__(self, folder, stack):
        assert REDIS is not None, "redis-server is required here, and is not installed"
        self.folder, self.catalog = folder, folder / "catalog"
        startup = shutil.copytree(STARTUP, folder / "startup", ignore=shutil.ignore_patterns("existing*", "__pycache__"))
        (startup / "40-slow.py").write_text(SLOW)
        (folder / "list.smi").write_text("CS(=O)(=O)C sulfone\nCCS thiol\nCS(=O)C sulfoxide\n")
        (folder / "wrong.smi").write_text("CCS thiol\nCSC sulfide\n")  # what fits none is measured on for long
        redis, control, info = (free_port() for _ in range(3))
        environment = {
            **os.environ,
            "XAS_BLUESKY_CATALOG": str(self.catalog),
            "XAS_BLUESKY_METADATA": str(folder / "metadata.json"),
            "XAS_BLUESKY_XDI": str(folder / "xdi"),
        }
        self.log = folder / "manager.log"
        output = stack.enter_context(self.log.open("w"))
        options = {"cwd": folder, "env": environment, "stdout": output, "stderr": subprocess.STDOUT}
        self._run(stack, [REDIS, "--port", str(redis), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"], **options)
        command = Path(sys.executable).with_name("start-re-manager")
        addresses = ["--zmq-control-addr", f"tcp://127.0.0.1:{control}", "--zmq-info-addr", f"tcp://127.0.0.1:{info}"]
        files = ["--startup-dir", startup, "--redis-addr", f"127.0.0.1:{redis}", "--redis-name-prefix", "xas_test"]
        self._run(stack, [command, *addresses, *files], **options)
        self.socket = stack.enter_context(stack.enter_context(zmq.Context()).socket(zmq.REQ))
        self.socket.setsockopt(zmq.LINGER, 0)
        self.socket.setsockopt(zmq.RCVTIMEO, int(1000 * PATIENCE))
        self.socket.connect(f"tcp://127.0.0.1:{control}")

    @staticmethod
    def _run(stack, command, **options):
        process = subprocess.Popen([str(part) for part in command], **options)
        stack.callback(process.wait, 30)
        stack.callback(process.terminate)

    def answer(self, method, **params):
        self.socket.send_json({"method": method, "params": params})
        return self.socket.recv_json()

    def ask(self, method, **params):
        answer = self.answer(method, **params)
        assert answer["success"], f"{method}: {answer['msg']}"
        return answer

    def status(self):
        return self.answer("status")

    def until(self, true, seconds=PATIENCE):
        deadline = time.monotonic() + seconds
        while not (found := true()):
            assert time.monotonic() < deadline, f"waited in vain: {self.log.read_text()[-3000:]}"
            time.sleep(0.1)
        return found

    def until_idle(self):
        return self.until(lambda: self.status()["manager_state"] == "idle")

    def start(self, name, **kwargs):
        """Have a plan run at once; it has to be ended."""
        self.ask("queue_item_execute", item={"item_type": "plan", "name": name, "kwargs": kwargs}, **USER)

    def last(self):
        return self.ask("history_get")["items"][-1]

    def kept(self, uid):
        """The metadata of a run, once it is wholly written: the writer comes after the run."""
        with open_catalog(self.catalog) as catalog:
            self.until(lambda: uid in catalog.runs and "stop" in catalog.runs[uid].metadata)
            return dict(catalog.runs[uid].metadata)

    def points(self, sample):
        """How many points the last run has so far, by its raw documents in Tiled; none where it is of another sample."""
        with open_catalog(self.catalog) as catalog:
            run = list(catalog.runs.values())[-1]
            begun = run.metadata["start"]["sample_name"] == sample and "primary" in run
            return len(run["primary"].read()["time"]) if begun else 0


@pytest.fixture(scope="module")
def manager(tmp_path_factory):
    with ExitStack() as stack:
        running = Manager(tmp_path_factory.mktemp("queue"), stack)
        running.ask("environment_open")
        running.until_idle()
        assert running.status()["worker_environment_exists"], running.log.read_text()[-3000:]
        yield running
        running.ask("environment_close")
        running.until(lambda: not running.status()["worker_environment_exists"])
        running.ask("manager_stop")


def test_our_plans_are_listed_with_types_and_descriptions(manager):
    plans = manager.ask("plans_allowed", user_group="primary")["plans_allowed"]
    assert set(plans) == {"xas", "change_edge", "agent_xas", "agent_xas_samples"}
    for plan in plans.values():
        assert plan["description"]
        for parameter in plan["parameters"]:
            assert parameter["annotation"]["type"], parameter["name"]
            assert len(parameter["description"]) > 10, parameter["name"]
    bounds = next(each for each in plans["xas"]["parameters"] if each["name"] == "bounds")
    assert bounds["annotation"]["type"] == "str | list[typing.Any]"
    assert "Å⁻¹" in bounds["description"]


def test_a_wrong_type_is_refused_before_it_is_queued(manager):
    item = {"item_type": "plan", "name": "xas", "kwargs": {"edge": "S K", "repeats": "often"}}
    answer = manager.answer("queue_item_add", item=item, **USER)
    assert not answer["success"]
    assert "repeats" in answer["msg"]


def test_a_wrong_word_says_what_is_expected(manager):
    manager.start("xas", edge="S K", bounds="-10 tne 20")
    manager.until_idle()
    result = manager.last()["result"]
    assert result["exit_status"] == "failed"
    assert "'tne' is none, expected numbers in eV from the edge" in result["msg"]
    assert result["run_uids"] == []


def test_a_queue_of_both_plans_runs_and_is_kept(manager):
    for name, kwargs in (
        ("change_edge", {"edge": "S K"}),
        ("xas", {"bounds": "-10 10", "steps": "1", "times": "0.1", "sample": "queued", "repeats": 2}),
        ("agent_xas", {"candidates": str(manager.folder / "list.smi"), "sample": "by agent", "budget": {"points": 30}}),
    ):
        manager.ask("queue_item_add", item={"item_type": "plan", "name": name, "kwargs": kwargs}, **USER)
    manager.ask("queue_start")
    manager.until(lambda: manager.status()["items_in_queue"] == 0)
    manager.until_idle()
    done = manager.ask("history_get")["items"][-3:]
    assert [item["result"]["exit_status"] for item in done] == ["completed"] * 3, manager.log.read_text()[-3000:]
    assert [len(item["result"]["run_uids"]) for item in done] == [0, 2, 1]
    (agent_uid,) = done[-1]["result"]["run_uids"]
    start = manager.kept(done[1]["result"]["run_uids"][1])["start"]
    with open_catalog(manager.catalog) as catalog:
        (found,) = catalog.search(sample="by agent")
    assert (start["XDI"]["Element"]["symbol"], start["repeat"], start["plan_args"]["bounds"]) == ("S", 2, "-10 10")
    assert found["raw_uid"] == agent_uid


def test_a_run_is_paused_resumed_and_completed(manager):
    manager.start("xas", edge="S K", bounds="-20 20", steps="0.5", times="0.1", sample="paused")
    manager.until(lambda: manager.status()["re_state"] == "running")
    manager.ask("re_pause", option="deferred")
    manager.until(lambda: manager.status()["manager_state"] == "paused")
    manager.ask("re_resume")
    manager.until_idle()
    (uid,) = manager.last()["result"]["run_uids"]
    stop = manager.kept(uid)["stop"]
    assert stop["exit_status"] == "success"
    assert stop["num_events"] == {"dark": 1, "primary": 81}


def loaded(catalog, record):
    """A record once it is wholly written: it is found before."""
    try:
        return catalog.load(record)
    except CatalogError:
        return None


def test_an_aborted_agent_closes_its_run_and_keeps_a_record(manager):
    manager.start("agent_xas", candidates=str(manager.folder / "wrong.smi"), edge="S K", sample="aborted", points=1000)
    manager.until(lambda: manager.points("aborted") > 0)
    manager.ask("re_pause", option="immediate")
    manager.until(lambda: manager.status()["manager_state"] == "paused")
    manager.ask("re_abort")
    manager.until_idle()
    result = manager.last()["result"]
    assert result["exit_status"] == "aborted"
    (uid,) = result["run_uids"]
    assert manager.kept(uid)["stop"]["exit_status"] == "abort"
    with open_catalog(manager.catalog) as catalog:
        manager.until(lambda: catalog.search(sample="aborted"), 30)
        (found,) = catalog.search(sample="aborted")
        assert found["raw_uid"] == uid
        assert manager.until(lambda: loaded(catalog, found["record"])).exit_status == "abort"
