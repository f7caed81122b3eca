"""Made-up molecules at the S K-edge: Gaussian white lines on an atomic step, predicted as a model would predict them."""

import re
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from importlib.resources import files
from pathlib import Path

import numpy as np
import pytest
from scipy.special import ndtr

from xas_bluesky.agent import Step
from xas_bluesky.beamline import conventional_scan
from xas_bluesky.candidates import Candidate
from xas_bluesky.comparison import Gap
from xas_bluesky.config import Settings, load_settings
from xas_bluesky.decision import Recommender, Spent
from xas_bluesky.edges import find_edge
from xas_bluesky.outcome import Outcome
from xas_bluesky.results import AnalysisRecord, Catalog, open_catalog
from xas_bluesky.spectra import Absorption, Array, PredictedSpectra, Prediction

EDGE = find_edge("S K")
PREDICTED_ENERGY = np.arange(2465.0, 2495.0, 0.2)
IONIZATION = 2482.0
FWHM = 2 * np.sqrt(2 * np.log(2))

Peaks = Sequence[tuple[float, float]]
"""White lines as (energy / eV, area / eV)."""


def spectrum(energy: Array, peaks: Peaks, width: float = 1.0) -> Array:
    """White lines and a step of full width at half maximum `width` (eV)."""
    sigma = width / FWHM
    lines = [area * np.exp(-0.5 * ((energy - at) / sigma) ** 2) / (sigma * np.sqrt(2 * np.pi)) for at, area in peaks]
    return ndtr((energy - IONIZATION) / sigma) + sum(lines)


def predict(molecules: Mapping[str, Peaks], error: float = 0.05, unsupported: Sequence[str] = ()) -> PredictedSpectra:
    """Predictions that are right up to `error`, in the lines' strength and position."""
    mean = np.array([spectrum(PREDICTED_ENERGY, peaks) for peaks in molecules.values()])
    factors = error * np.stack([mean, np.gradient(mean, PREDICTED_ENERGY, axis=1)], axis=1)
    return PredictedSpectra(
        edge="S K",
        candidate=tuple(molecules),
        energy=PREDICTED_ENERGY,
        mean=mean,
        std=np.sqrt((factors**2).sum(axis=1)),
        factors=factors,
        ionization=np.full(len(mean), IONIZATION),
        supported=np.array([name not in unsupported for name in molecules]),
        distance=np.array([2.0 if name in unsupported else 0.5 for name in molecules]),
        model="synthetic",
    )


THIOL, SULFOXIDE, SULFONE = [(2472.5, 3.0)], [(2476.0, 4.0)], [(2480.0, 6.0)]
KINDS = {"kind of thiol": THIOL, "kind of sulfone": SULFONE, "kind of sulfide": [(2470.0, 3.0), (2477.5, 3.0)]}


@dataclass
class Laboratory:
    """Candidates, their predictions, and the samples they would be; a predictor for tests.

    The gap's strength and position errors are those of `predict`, so nothing here depends on the fitted gap.
    """

    molecules: Mapping[str, Peaks]
    gap: Gap = field(default_factory=lambda: Gap(shift=-0.8, smooth_sd=0.15))
    rejected: tuple[str, ...] = ()
    asked: list[str] = field(default_factory=list)

    @property
    def prediction(self) -> Prediction:
        return Prediction(predict(self.molecules), predict(KINDS, error=0.2), self.rejected)

    @property
    def candidates(self) -> list[Candidate]:
        return [Candidate(name, "S") for name in self.molecules]

    def sample(self, peaks: str | Peaks, width: float = 1.8) -> Callable[[Array], Array]:
        """Absorption of a molecule as it would be measured: broadened, and shifted as theory is."""
        found = self.molecules[peaks] if isinstance(peaks, str) else peaks
        return lambda energy: spectrum(np.asarray(energy) - self.gap.shift, found, width)

    def predict(self, candidates: Sequence[Candidate], edge: str, conformers: int = 1) -> Prediction:  # noqa: ARG002
        self.asked.append(edge)
        assert [candidate.name for candidate in candidates] == list(self.molecules)
        return self.prediction

    def close(self) -> None: ...


@dataclass
class Kept:
    """A catalog that keeps its records at hand, for tests of what is in them."""

    records: list[AnalysisRecord] = field(default_factory=list)
    drafts: list[AnalysisRecord] = field(default_factory=list)

    def draft(self, record: AnalysisRecord) -> None:
        self.drafts.append(record)

    def save(self, record: AnalysisRecord) -> str:
        self.records.append(record)
        return str(len(self.records) - 1)


@pytest.fixture(scope="session", autouse=True)
def _state(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Keep what belongs to catalogs elsewhere out of the user's own folder."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_STATE_HOME", str(tmp_path_factory.mktemp("state")))
        yield


@pytest.fixture
def kept() -> Kept:
    return Kept()


@pytest.fixture
def make_laboratory() -> Callable[..., Laboratory]:
    return Laboratory


@pytest.fixture
def laboratory() -> Laboratory:
    return Laboratory({"thiol": THIOL, "sulfoxide": SULFOXIDE, "sulfone": SULFONE})


@pytest.fixture(scope="module")
def catalog(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Catalog]:
    """A real catalog; a process runs the server of one at a time."""
    with open_catalog(tmp_path_factory.mktemp("beamline") / "catalog") as opened:
        yield opened


@pytest.fixture
def outcome() -> Outcome:
    """What a run over two similar candidates led to, without a beamline and a catalog."""
    laboratory = Laboratory({"plain": [(2473.0, 3.0)], "shouldered": [(2473.0, 3.0), (2477.5, 0.8)]})
    recommender = Recommender("S K", conventional_scan("S K"), gap=laboratory.gap)
    recommender.learn(laboratory.prediction)
    steps: list[Step] = []
    request, measured = recommender.scout(), np.zeros(0)
    while request is not None:
        measured = np.append(measured, request.energy)
        absorption = Absorption(measured, laboratory.sample("plain")(measured), np.full(len(measured), 1e-4))
        spent = Spent(len(measured), 1.5 * len(measured), 1e9 * len(measured))
        steps.append(Step(0.0, recommender.decide(absorption, spent), absorption, spent))
        request = steps[-1].decision.request
    last = steps[-1]
    assert last.decision.answer is not None
    usual = Spent(226, 339.0, 2.26e11)
    found = (last.decision.answer, last.spent, usual, last.decision.reason)
    return Outcome(*found, "the-uid", "the-key", tuple(steps), laboratory.prediction)


PROXY = """
import sys
from pathlib import Path
from threading import Thread
from bluesky.callbacks.zmq import Proxy, ServerCurve
here = "tcp://127.0.0.1"
if sys.argv[1:]:
    # a proxy of Bluesky 1.15 can guard one of its sides only, so there are two of them
    curve = ServerCurve(Path(sys.argv[1]) / "proxy" / "server.key_secret", Path(sys.argv[1]) / "known", None)
    first = Proxy(here, here, in_curve=curve)
    second = Proxy(first.out_port, here, in_bind=False, out_curve=curve)
    Thread(target=first.start, daemon=True).start()
else:
    first = second = Proxy(here, here)
print(first.in_port.rpartition(":")[2], second.out_port.rpartition(":")[2], flush=True)
second.start()
"""


@contextmanager
def run_proxy(*arguments: str) -> Iterator[tuple[str, str]]:
    """Run Bluesky's proxy; gives its addresses for publishers and for readers."""
    command = [sys.executable, "-c", PROXY, *arguments]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            incoming, outgoing = process.stdout.readline().split()
            yield f"127.0.0.1:{incoming}", f"127.0.0.1:{outgoing}"
        finally:
            process.kill()


@pytest.fixture(scope="session")
def proxy() -> Callable[..., AbstractContextManager[tuple[str, str]]]:
    """Bluesky's proxy: give it a folder of keys to have it guarded."""
    return run_proxy


class Ioc:
    """The simulated beamline over Channel Access, a process that can be killed and started again on its port.

    A second of it takes a millisecond. Slot 0 holds methionine sulfone, slot 1 cysteine.
    """

    prefix = "TEST:"

    def __init__(self, folder: Path) -> None:
        self.toml = folder / "beamline.toml"
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.start()

    def start(self) -> None:
        measured = files("xas_bluesky") / "data" / "measured"
        spectra = [str(measured / f"{name}.csv") for name in ("methionine_sulfone", "cysteine")]
        options = ["--edge", "S K", "--prefix", self.prefix, "--port", str(self.port), "--settings", str(self.toml)]
        command = [sys.executable, "-m", "xas_bluesky.cli", "ioc", *spectra, *options, "--time-scale", "0.001"]
        self._process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        assert self._process.stdout is not None
        with self._process.stdout as told:
            said = told.readline()
        assert re.match(rf"ready: PVs TEST:\* at 127\.0\.0\.1:{self.port}; ", said), said

    def kill(self) -> None:
        self._process.kill()
        self._process.wait()

    def settings(self, **devices: object) -> Settings:
        """The beamline.toml that it wrote, with timeouts for tests."""
        quick = {
            "energy": {"timeout": 3.0},
            "stage": {"timeout": 3.0},
            "shutter": {"timeout": 3.0},
            "counters": {"scaler": {"timeout": 3.0}},
        }
        return load_settings(self.toml).overridden({"devices": {**quick, **devices}}, "test")


@pytest.fixture(scope="session")
def ioc(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ioc]:
    """One for all tests of a process: Channel Access keeps the addresses that it first asked."""
    served = Ioc(tmp_path_factory.mktemp("ioc"))
    yield served
    served.kill()
