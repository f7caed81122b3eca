"""One record to save, and catalogs that other processes own."""

import os
import socket
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import httpx
import numpy as np
import pytest

from xas_bluesky.comparison import Gap, Group, Ranked
from xas_bluesky.config import Settings
from xas_bluesky.decision import Anchor, Budget, ScanRequest, Spent
from xas_bluesky.decision.information_gain import Cost
from xas_bluesky.results import AnalysisRecord, DecisionStep, Inputs
from xas_bluesky.spectra import Absorption, PredictedSpectra

CANDIDATES = ("methionine sulfone", "dimethyl sulfone (98.5 %)", "cysteine")


@pytest.fixture(scope="session")
def record() -> AnalysisRecord:
    rng = np.random.default_rng(7)
    energy = np.linspace(2465.0, 2495.0, 61)
    predicted = PredictedSpectra(
        edge="S K",
        candidate=CANDIDATES,
        energy=energy,
        mean=rng.random((3, 61)),
        std=rng.random((3, 61)),
        factors=rng.random((3, 2, 61)),
        ionization=np.array([2480.1, 2480.3, 2475.9]),
        supported=np.array([True, False, True]),
        distance=np.array([0.125, 3.5, 0.0]),
        model="5f3a",
        source=("model", "theory", "model"),
        inchikey=("UCUNFLYVYCGDHP-UHFFFAOYSA-N", "HHVIBTZHLRERCL-UHFFFAOYSA-N", "XUJNEKJLAYXESH-UHFFFAOYSA-N"),
        formula=("C5H11NO4S", "C2H6O2S", "C3H7NO2S"),
    )
    return AnalysisRecord(
        raw_uid="0ab9d6a4-0b9f-4d55-9a06-3c1c3f1d5a11",
        sample="supplement, lot 3",
        ranking=(
            Ranked("methionine sulfone", 0.56, 0, -1.25),
            Ranked("dimethyl sulfone (98.5 %)", 0.41, 0, -1.5),
            Ranked("cysteine", 0.01, 1, 0.25),
        ),
        groups=(
            Group(("methionine sulfone", "dimethyl sulfone (98.5 %)"), 0.97),
            Group(("cysteine",), 0.01),
        ),
        none_of_these=0.02,
        stop_reason="one group above 0.95",
        seed=3,
        points=14,
        seconds=31.5,
        photons=4.2e9,
        points_conventional=223,
        seconds_conventional=290.0,
        photons_conventional=8.9e10,
        decisions=(
            DecisionStep(
                1.0,
                (2470.0, 2475.5),
                (1.0, 0.5),
                (0.4, 0.35, 0.2),
                0.05,
                "most information per second",
                Spent(12, 25.0, 4e9, 5e9),
            ),
            DecisionStep(
                2.5,
                (2480.25,),
                (2.0,),
                (0.56, 0.41, 0.01),
                0.02,
                "most information per second",
                Spent(13, 28.0, 4.1e9, 5.1e9),
                ("dimethyl sulfone (98.5 %)",),
                gain=0.1 + 0.2,
                expected=2.5,
                learned=2,
            ),
            DecisionStep(3.0, (), (), (0.56, 0.41, 0.01), 0.02, "one group above 0.95", Spent(14, 31.5, 4.2e9, 5.2e9)),
        ),
        predicted=predicted,
        time=1.8e9,
        exit_status="abort",
        flags=("radiation damage",),
        dose=5.2e9,
        revisits=("1bc9d6a4-0b9f-4d55-9a06-3c1c3f1d5a12",),
        pauses=(1.7e9, 1.75e9),
        warnings=("list.csv:2: not a valid SMILES",),
        measured=Absorption(
            np.linspace(2466, 2494, 14), rng.random(14), np.append(rng.random(13), np.inf), "fluorescence", "photons"
        ),
        inputs=Inputs(
            settings=Settings.read({"noise": {"i0": "photons"}, "mono": {"backlash": 2.5}}, "here"),
            gap=Gap(shift=-0.1 - 0.2, learned=((0.1, 1 / 3), (0.2, 0.4))),
            conventional=ScanRequest(2440.0 + np.arange(30) / 3, 0.1 + np.arange(30) / 7),
            budget=Budget(points=60, dose=1e12 / 3),
            cost=Cost(speed=1 / 3),
            anchor=Anchor(2460.1, 2475.3),
            population=replace(
                predicted,
                candidate=("a kind", "another", "a third"),
                source=(),
                inchikey=(),
                formula=(),
                distance=np.full(3, np.nan),
            ),
            replaced=replace(
                predicted.chosen(["dimethyl sulfone (98.5 %)"]),
                factors=rng.random((1, 5, 61)),
                source=(),
                inchikey=(),
                formula=(),
            ),
            version="0.0.1",
        ),
    )


@pytest.fixture
def in_process() -> Iterator[Callable[[str, Path], "subprocess.Popen[str]"]]:
    """Run code in another process, with `folder` set; its stdin stays open until the test ends."""
    started: list[subprocess.Popen[str]] = []

    def start(code: str, folder: Path) -> "subprocess.Popen[str]":
        script = f"import json, sys\nfrom xas_bluesky.results import open_catalog\nfolder = {str(folder)!r}\n"
        command = [sys.executable, "-c", script + textwrap.dedent(code)]
        started.append(subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True))
        return started[-1]

    yield start
    for process in started:
        with process:
            process.kill()


@pytest.fixture(scope="module")
def serving(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., str]]:
    """Run `tiled serve …` in another process until the module's tests are done, and return its URL."""
    started: list[subprocess.Popen[bytes]] = []
    log = tmp_path_factory.mktemp("server") / "log"

    def start(*arguments: str) -> str:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        command = [sys.executable, "-m", "tiled", "serve", *arguments, "--host", "127.0.0.1", "--port", str(port)]
        with log.open("wb") as written:
            started.append(subprocess.Popen(command, stdout=written, stderr=written, env={**os.environ, "PYTHONWARNINGS": ""}))
        url, deadline = f"http://127.0.0.1:{port}", time.monotonic() + 90
        while time.monotonic() < deadline and started[-1].poll() is None:
            try:
                httpx.get(f"{url}/api/v1/", timeout=5, trust_env=False)
            except httpx.HTTPError:
                time.sleep(0.1)
            else:
                return url
        pytest.fail(f"tiled serve {' '.join(arguments)} did not start:\n{log.read_text()}")

    yield start
    for process in started:
        with process:
            process.kill()
