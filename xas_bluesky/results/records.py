"""Analysis records: what was found, how it was decided and from which predictions."""

import time
from dataclasses import dataclass, field

from xas_bluesky.comparison import Group, Ranked
from xas_bluesky.decision import Spent
from xas_bluesky.edges import find_edge
from xas_bluesky.results.inputs import Inputs
from xas_bluesky.spectra import Absorption, PredictedSpectra


@dataclass(frozen=True, slots=True)
class DecisionStep:
    """Hold one decision: the energies (eV) and dwells (s) asked for at `time` (unix s), and why.

    `posterior`: probabilities after the step, in the order of the record's predicted candidates; these and `none_of_these`
    are NaN of a first request, and while there were no predictions. A stop, and a decision that failed, ask for no energies.
    `spent` by then, its points those that were decided from; None in a record from before this was kept. `from_theory`: the
    candidates whose spectra had come from first principles by then. `gain` (nats about the groups) and `expected` (s): what
    the request was thought to give and take. `learned`: how many predictions had been taken in.
    """

    time: float
    energy: tuple[float, ...]
    dwell: tuple[float, ...]
    posterior: tuple[float, ...]
    none_of_these: float
    reason: str
    spent: Spent | None = None
    from_theory: tuple[str, ...] = ()
    gain: float = 0.0
    expected: float = 0.0
    learned: int = 0


@dataclass(frozen=True, slots=True)
class AnalysisRecord:
    """Hold the answer for one raw run, with what was predicted and decided.

    `ranking` best first; `points`, `seconds` and `photons` spent, each also for the conventional scan of the same
    range; `errors` of the analysis, which the scan outlived; `seed` of the simulated noise; `time` of the answer (unix s).
    `exit_status`: success, abort or fail, as in the run's stop document; `flags`: what was noticed about the sample, as
    "radiation damage"; `dose`: photons on the spot; `revisits`: the uids of the sample's later runs; `pauses`: when it was
    paused or suspended (unix s); `warnings`: what the answer is to be taken with; `inputs`: what else was decided from;
    `measured`: the absorption that the last decision saw. Both are None in a record from before they were kept.
    """

    raw_uid: str
    sample: str
    ranking: tuple[Ranked, ...]
    groups: tuple[Group, ...]
    none_of_these: float
    stop_reason: str
    seed: int
    points: int
    seconds: float
    photons: float
    points_conventional: int
    seconds_conventional: float
    photons_conventional: float
    decisions: tuple[DecisionStep, ...]
    predicted: PredictedSpectra
    errors: tuple[str, ...] = ()
    time: float = field(default_factory=time.time)
    exit_status: str = "success"
    flags: tuple[str, ...] = ()
    dose: float = float("nan")
    revisits: tuple[str, ...] = ()
    pauses: tuple[float, ...] = ()
    warnings: tuple[str, ...] = ()
    inputs: Inputs | None = None
    measured: Absorption | None = None

    @property
    def edge(self) -> str:
        """Name the edge, as in "S K"."""
        return str(find_edge(self.predicted.edge))

    @property
    def model(self) -> str:
        """Give the hash of the model's weights."""
        return self.predicted.model
