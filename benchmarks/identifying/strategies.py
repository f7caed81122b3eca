"""The ways to measure that are compared, each leaving a sequence of requests on a beamline."""

from collections.abc import Callable

import numpy as np

from identifying.beamline import Beamline
from identifying.gaussian_process import first_request, next_request
from identifying.questions import Question
from xas_bluesky.beamline import OVERHEAD
from xas_bluesky.decision import Budget, Recommender, ScanRequest, regions, widest_gaps
from xas_bluesky.decision.information_gain import Cost
from xas_bluesky.edges import find_edge
from xas_bluesky.errors import SpectrumError
from xas_bluesky.plans.adaptive import STOPGAP
from xas_bluesky.spectra import Array

IONIZATION = {"C K": 291.0, "N K": 405.0, "O K": 539.0, "S K": 2477.0}
"""About the mean ionization energy (eV) of the candidates at each edge."""
BOUNDS, STEPS = (-30.0, -14.0, 14.0, 35.0), (2.0, 0.2, 1.0)
"""The conventional scan: regions (eV from there), fine where the spectra have their structure, and steps (eV)."""
SHORTER = (0.3, 0.1, 0.02)
"""Dwells of the conventional scan with shorter dwell, as shares of the conventional one."""
EVERY = (2, 4, 7, 10, 14)
"""The uniform subset measures every so many-th of the conventional points."""
SHORT = 0.1
"""Dwell, as a share of the conventional one, of a uniform subset that is shortened too, and of the Gaussian process' scan."""
MOST_STEPS = 200

Measure = Callable[[Beamline, Question], str]
"""Measure a sample until done; returns why it stopped."""


def usual_scan(edge: str) -> ScanRequest:
    """Return the conventional scan."""
    return regions(IONIZATION[edge], BOUNDS, STEPS, 1.0)


def scan(edge: str, shorter: float = 1.0, every: int = 1) -> Measure:
    """Return a scan that knows nothing of candidates: a share of the conventional dwell at every so many-th of its points."""
    usual = usual_scan(edge)
    chosen = np.unique(np.rint(np.linspace(0, len(usual) - 1, max(len(usual) // every, 2))).astype(np.int64))
    request = ScanRequest(usual.energy[chosen], shorter * usual.dwell[chosen])

    def measure(beamline: Beamline, question: Question) -> str:  # noqa: ARG001
        beamline.measure(request)
        return "complete"

    return measure


def gaussian_process(edge: str, shorter: float) -> Measure:
    """Return the adaptive scan of gaussian_process, until it has used the conventional scan's seconds or points."""
    usual = usual_scan(edge)
    energy, dwell, most = usual.energy, shorter * float(usual.dwell.max()), conventional_seconds(usual)

    def measure(beamline: Beamline, question: Question) -> str:  # noqa: ARG001
        request: ScanRequest | None = first_request(energy, dwell)
        for _ in range(MOST_STEPS):
            if request is None or beamline.spent().seconds > most:
                break
            beamline.measure(request)
            request = next_request(beamline.absorption(), energy, find_edge(edge).energy, dwell)
        return "complete"

    return measure


def ours(edge: str) -> Measure:
    """Return the recommender's scan, with the conventional scan's points and seconds as its budget."""
    usual = usual_scan(edge)
    budget = Budget(points=len(usual), seconds=conventional_seconds(usual))

    def measure(beamline: Beamline, question: Question) -> str:
        cost = Cost(beamline.settings.settle, beamline.settings.speed)
        recommender = Recommender(edge, usual, gap=question.gap, budget=budget, cost=cost)
        recommender.learn(question.prediction)
        request: ScanRequest | None = recommender.scout()
        reason = "too many steps"
        for _ in range(MOST_STEPS):
            if request is None:
                break
            beamline.measure(request)
            so_far = beamline.absorption()
            try:
                decision = recommender.decide(so_far, beamline.spent())
            except SpectrumError:  # as the plan does when no decision comes
                request = widest_gaps(usual, so_far.energy.tolist(), STOPGAP)
            else:
                request, reason = decision.request, decision.reason
        return reason

    return measure


def conventional_seconds(usual: ScanRequest) -> float:
    """Return the seconds that the conventional scan takes, at the motion the recommender assumes."""
    return float((usual.dwell + OVERHEAD).sum())


def in_time(edge: str) -> dict[str, Measure]:
    """Return the strategies that are asked while they measure."""
    return {
        "conventional": scan(edge),
        "Gaussian process": gaussian_process(edge, SHORT),
        "ours": ours(edge),
    }


def families(edge: str) -> dict[str, list[Measure]]:
    """Return the scans that are asked when they are over: of each family, from the longest to the shortest."""
    return {
        "shorter dwell": [scan(edge, shorter=share) for share in SHORTER],
        "uniform subset": [scan(edge, every=step) for step in EVERY],
        "uniform subset, short dwell": [scan(edge, shorter=SHORT, every=step) for step in EVERY[1::2]],
    }


def checkpoints() -> Array:
    """Return the seconds at which the strategies are asked while they measure."""
    return np.round(np.geomspace(8.0, 300.0, 14), 1)
