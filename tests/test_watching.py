"""`xas-bluesky watch` in a process of its own, following a real proxy and a real Tiled server."""

import json
import subprocess
import sys
from contextlib import contextmanager

import bluesky.plan_stubs as bps
import bluesky.preprocessors as bpp
import numpy as np
import pytest
from bluesky import RunEngine
from typer.testing import CliRunner

from xas_bluesky.beamline_sim import BeamlineSettings, SimulatedBeamline
from xas_bluesky.beamline_sim.settings import COUNTING
from xas_bluesky.cli import app
from xas_bluesky.decision.scan_request import regions
from xas_bluesky.files import read_spectrum
from xas_bluesky.live import Publisher
from xas_bluesky.plans import xas_scan

REQUEST = regions(2472.0, [-40, -8, 16, 60], [4, 1, 4], [1, 1, 1])


def edge(energy):
    return 0.5 + np.arctan((energy - 2472.0) / 0.3) / np.pi


def scan(sample):
    beamline = SimulatedBeamline(edge, "S K", BeamlineSettings(mode="transmission"))
    devices = beamline.energy, beamline.dwell, beamline.detectors
    return xas_scan(*devices, REQUEST, edge="S K", sample=sample, settings=COUNTING)


def held_up(plan, at, until):
    """Wait after so many points."""
    saved = []

    def after(message):
        if message.command == "save":
            saved.append(message)
            if len(saved) == at:

                def waiting():
                    until()
                    yield from bps.null()

                return None, waiting()
        return None, None

    return bpp.plan_mutator(plan, after)


@contextmanager
def watching(*options):
    command = [sys.executable, "-m", "xas_bluesky.cli", "watch", *options]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        try:
            yield process
        finally:
            process.kill()


def last_of(process):
    """Return what was said of the last run that ended, once the process has ended by itself."""
    out, err = process.communicate(timeout=60)
    assert process.returncode == 0, err
    return [line for line in map(json.loads, out.splitlines()) if line["finished"]][-1]


@pytest.mark.slow
def test_a_proxy_is_followed_and_each_run_written(tmp_path, proxy):
    engine = RunEngine({})
    with (
        proxy() as (incoming, outgoing),
        watching("--zmq", outgoing, "--xdi", str(tmp_path), "--runs", "2", "--json") as process,
    ):
        publisher = Publisher(incoming, None)
        engine.subscribe(publisher)
        while process.poll() is None:  # the first it sees may have begun before it did
            engine(scan("Fe(SO4)"))
        publisher.close()
        found = last_of(process)
    assert (found["points"], found["missing"], found["stage"]) == (len(REQUEST), 0, "whole")
    assert (found["sample"], found["edge"], found["noise"]) == ("Fe(SO4)", "S K", "photons")
    assert found["e0"] == pytest.approx(2472.0, abs=0.5)
    assert found["unknown"] == {}
    written = read_spectrum(tmp_path / f"Fe_SO4_S_K_{found['uid'][:8]}.xdi")
    assert len(written) == len(REQUEST)


@pytest.mark.slow
def test_a_tiled_server_is_followed_and_the_reduced_scan_kept_there(tmp_path, catalog):
    engine = RunEngine({})
    writer = catalog.writer()
    engine.subscribe(writer)
    with watching("--catalog", catalog.where, "--xdi", str(tmp_path), "--runs", "1", "--json") as process:
        engine(held_up(scan("gypsum"), 20, process.stdout.readline))  # runs that are over when it begins are not followed
        found = last_of(process)
    writer.close()
    assert (found["points"], found["missing"], found["stage"]) == (len(REQUEST), 0, "whole")
    kept = catalog.load_reduced(found["uid"])
    assert kept.normalized.e0 == found["e0"]
    assert list(tmp_path.glob("gypsum_S_K_*.xdi"))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ([], "nothing to follow; give --catalog or --zmq"),
        (["--catalog", "nowhere", "--keys", "keys"], "--keys are those of a proxy"),
        (["--zmq", "proxy.example:5568"], "keys"),
        (["--zmq", "localhost:5568", "--settings", "missing.toml"], "missing.toml: cannot be read"),
        (["--catalog", "nowhere"], "there is no such folder"),
    ],
)
def test_what_cannot_be_followed_is_said_in_a_sentence(options, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    result = CliRunner().invoke(app, ["watch", *options])
    assert (result.exit_code, result.stdout) == (2, "")
    (line,) = result.stderr.splitlines()
    assert message in line
