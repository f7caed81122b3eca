"""The same with measured spectra: those shipped, among the shipped candidates."""

import csv
from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
from joblib import delayed

from identifying.questions import Question
from identifying.runs import OFFSET, Row, measured, noise_of
from xas_bluesky.beamline_sim import BeamlineSettings
from xas_bluesky.beamline_sim.sample import mu_of_energy
from xas_bluesky.comparison import Gap
from xas_bluesky.edges import find_edge
from xas_bluesky.files import read_candidates, read_spectrum
from xas_bluesky.predictor_client import LocalPredictor
from xas_bluesky.spectra import Prediction

MEASURED = "measured"
EDGE = "S K"
DATA = Path(str(files("xas_bluesky") / "data"))


def measured_runs(seeds: int, done: set[tuple[str, str, int]]) -> Iterator[Any]:
    """Yield the runs, `seeds` together, that are not done; their gap is the one fitted to the four of them."""
    with LocalPredictor() as predictor:
        prediction = predictor.predict(read_candidates(DATA / "candidates" / "sulfur.csv"), EDGE)
    with (DATA / "known_spectra.csv").open(newline="", encoding="utf-8") as lines:
        known = [(DATA / row["file"], row["name"]) for row in csv.DictReader(lines)]
    for path, name in known:
        left = [seed for seed in range(seeds // len(known)) if (EDGE, name, seed) not in done]
        if left:
            yield delayed(_run)(path, name, prediction, left)


def _run(path: Path, name: str, prediction: Prediction, seeds: list[int]) -> list[Row]:
    question = Question.of(prediction, Gap.for_edge(EDGE), noise_of(EDGE), prediction.spectra.candidate.index(name))
    absent = question.without_truth()
    sample = mu_of_energy(read_spectrum(path), find_edge(EDGE))
    rows: list[Row] = []
    for seed in seeds:
        random = np.random.default_rng([seed, *name.encode()])
        settings = BeamlineSettings(seed=int(random.integers(2**31)), energy_offset=random.uniform(-OFFSET, OFFSET))
        about = {"edge": EDGE, "truth": name, "seed": seed}
        rows.append({**about, **measured(sample, settings, question, everything=True)})
        if absent is not None:
            rows.append({**about, **measured(sample, settings, absent, everything=False)})
    return rows
