"""Time what the agent does between two requests: take new points in, weigh all candidates, choose the next energies.

Usage: python benchmarks/decisions.py [CANDIDATES …]      (default: 100 1000 100000)

Candidates are drawn from the kinds of spectra that the shipped model was trained on (O K-edge, each with factors of an error
as large as the model's usual one); the sample is one of them. Prints, for each number of them: seconds to lay them out, the
median and longest decision of a run of twenty at most, what these took of the processor, and the process's peak memory.
"""

import resource
import sys
import time
from dataclasses import dataclass, replace

import numpy as np

from xas_bluesky.beamline import conventional_scan
from xas_bluesky.comparison import Gap
from xas_bluesky.decision import Budget, Recommender, Spent
from xas_bluesky.prediction import Predictor
from xas_bluesky.spectra import Absorption, PredictedSpectra, Prediction

EDGE = "O K"
ERROR, FACTORS = 0.05, 8
ALIKE = 0.3
"""How far candidates of one kind lie apart, as a share of how far the training set's do."""
NOISE = 0.02
"""Counting error of a second, in edge jumps."""
DECISIONS = 20


def drawn(population: PredictedSpectra, count: int, rng: np.random.Generator) -> PredictedSpectra:
    """Draw candidates from kinds of spectra."""
    kinds = rng.choice(np.flatnonzero(population.supported), count)
    factors = population.factors.astype(np.float32)
    mean = population.mean.astype(np.float32)[kinds]
    for number in range(factors.shape[1]):
        mean += ALIKE * rng.standard_normal((count, 1)).astype(np.float32) * factors[kinds, number]
    smooth = rng.standard_normal((64, FACTORS, population.mean.shape[1]))
    kernel = np.exp(-0.5 * (np.arange(-15, 16) / 5.0) ** 2)
    smooth = np.apply_along_axis(np.convolve, -1, smooth, kernel / np.sqrt((kernel**2).sum()), "same")
    errors = (ERROR / np.sqrt(FACTORS) * smooth).astype(np.float32)[np.arange(count) % 64]
    errors *= np.sqrt(np.maximum(mean, 0.0))[:, None, :]
    return replace(
        population,
        candidate=tuple(map(str, range(count))),
        mean=mean,
        std=np.sqrt((errors**2).sum(axis=1)),
        factors=errors,
        ionization=population.ionization[kinds],
        supported=np.ones(count, dtype=np.bool_),
        distance=np.zeros(count),
    )


@dataclass(frozen=True, slots=True)
class Run:
    """Hold seconds: to lay candidates out, each decision's by the clock and of the processor; and why the last one stopped."""

    learnt: float
    taken: tuple[float, ...]
    worked: tuple[float, ...]
    reason: str


def run(prediction: Prediction, gap: Gap, rng: np.random.Generator) -> Run:
    """Decide on a sample that is the first candidate, point after point."""
    spectra = prediction.spectra
    recommender = Recommender(EDGE, conventional_scan(EDGE), gap=gap, budget=Budget(points=1000))
    began = time.perf_counter()
    recommender.learn(prediction)
    learnt = time.perf_counter() - began
    request, taken, worked, reason = recommender.scout(), list[float](), list[float](), ""
    energy, mu, variance = np.zeros((3, 0))
    truth = spectra.mean[0] + 0.1 * spectra.factors[0].sum(axis=0)
    while request is not None and len(taken) < DECISIONS:
        counted = NOISE**2 / request.dwell
        energy = np.append(energy, request.energy)
        noise = np.sqrt(counted) * rng.standard_normal(len(counted))
        mu = np.append(mu, np.interp(request.energy, spectra.energy, truth) + noise)
        variance = np.append(variance, counted)
        began, before = time.perf_counter(), time.process_time()
        decision = recommender.decide(Absorption(energy, mu, variance), Spent(len(energy), 0.0, 0.0))
        taken.append(time.perf_counter() - began)
        worked.append(time.process_time() - before)
        request, reason = decision.request, decision.reason
    return Run(learnt, tuple(taken), tuple(worked), reason)


def main() -> None:
    """Run it."""
    population = Predictor.load(cores=1).population(EDGE)
    for count in map(int, sys.argv[1:] or ("100", "1000", "100000")):
        rng = np.random.default_rng(0)
        prediction = Prediction(drawn(population, count, rng), population, ())
        for name, gap in (("calibrated", Gap.of_theory(EDGE)), ("uncalibrated", Gap.for_edge(EDGE))):
            found = run(prediction, gap, rng)
            peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
            figures = f"{1e3 * np.median(found.taken):.0f} ms, longest {1e3 * max(found.taken):.0f} ms of {len(found.taken)}"
            worked = f"{1e3 * np.median(found.worked):.0f} and {1e3 * max(found.worked):.0f} ms of the processor"
            print(
                f"{count} candidates, {name}: laid out in {found.learnt:.2f} s; {figures} ({worked}); {peak:.2f} GB; "
                f"{found.reason}",
                flush=True,
            )


if __name__ == "__main__":
    main()
