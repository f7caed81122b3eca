"""Learn the gap between theory and experiment from measured spectra of known compounds."""

import csv
import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from scipy.optimize import minimize

from xas_bluesky.candidates import Candidate
from xas_bluesky.comparison import Baseline, Gap
from xas_bluesky.comparison.hypotheses import lay_out
from xas_bluesky.comparison.provisional import in_cells
from xas_bluesky.comparison.regression import regress
from xas_bluesky.errors import SettingsError
from xas_bluesky.files import read_spectrum
from xas_bluesky.prediction import Predictor
from xas_bluesky.reduction import absorption
from xas_bluesky.spectra import Absorption, Array, Prediction

SCALES = ("shift_sd", "learned_size", "spread", "smooth_sd")
"""What is fitted beside `shift`: each starts at the default of Gap and may leave it by a factor of about exp(LOOSE)."""
LOOSE = 0.35
SHIFT_LOOSE = 1.0
ROUNDS = 45


@dataclass(frozen=True, slots=True)
class Pair:
    """Hold a measured spectrum and the prediction for the compound it is of."""

    name: str
    measured: Absorption
    prediction: Prediction


def read_pairs(table: Path, edge: str, predictor: Predictor) -> list[Pair]:
    """Read the measured spectra listed in `table` (csv: file, name, smiles) and predict their compounds.

    Raises SettingsError when the table cannot be read.
    """
    try:
        with table.open(newline="", encoding="utf-8") as lines:
            rows = [(row["file"], row["name"], row["smiles"]) for row in csv.DictReader(lines)]
    except (OSError, LookupError, ValueError) as error:
        raise SettingsError(f"{table}: cannot be read ({error}); give a csv with the columns file, name and smiles") from error
    return [
        Pair(
            name,
            absorption(read_spectrum(table.parent / file)),
            predictor.predict([Candidate(name, smiles, str(table))], edge),
        )
        for file, name, smiles in rows
    ]


def fit_gap(pairs: Sequence[Pair]) -> Gap:
    """Scale what pairs of theories taught: maximize the evidence of measured spectra under their own compounds' predictions.

    Each setting has a prior; the learned directions are those of the shipped gap (benchmarks/two_theories.py).
    """
    start = replace(Gap(), warp_sd=0.0, strength_sd=0.0, learned=Gap.load().learned)

    def gap_at(place: Array) -> Gap:
        scales = {
            name: float(getattr(start, name) * np.exp(LOOSE * value)) for name, value in zip(SCALES, place[1:], strict=True)
        }
        return replace(start, shift=float(start.shift + SHIFT_LOOSE * place[0]), **scales)

    def loss(place: Array) -> float:
        gap = gap_at(place)
        return 0.5 * float(place @ place) - sum(log_evidence(pair, gap) for pair in pairs)

    size = len(SCALES) + 1
    simplex = np.vstack([np.zeros(size), np.eye(size)])
    options = {"maxfev": ROUNDS, "xatol": 0.02, "fatol": 0.05, "initial_simplex": simplex}
    return gap_at(minimize(loss, np.zeros(size), method="Nelder-Mead", options=options).x)


def log_evidence(pair: Pair, gap: Gap) -> float:
    """Return the log evidence of a measured spectrum under its own compound's prediction."""
    hypotheses = lay_out(pair.prediction.spectra, pair.prediction.population, gap, none_of_these=False)
    normalized = Baseline.fit(pair.measured, hypotheses.structure).normalize(pair.measured)
    cells, own = in_cells(normalized, gap.cell), hypotheses.of_member(0)
    mean, features = hypotheses.design(cells.energy, own)
    evidence, _, _ = regress(cells.mu - mean, features, cells.variance + hypotheses.fine_error(cells.energy))
    return float(np.logaddexp.reduce(evidence + hypotheses.log_prior[own]))


def write_gap(path: Path, gap: Gap, pairs: Sequence[Pair]) -> None:
    """Write a fitted gap as `Gap.load` reads it, with what it was fitted to."""
    fitted_to = json.dumps([pair.name for pair in pairs])
    path.write_text(f'{{"gap": {gap.to_json()},\n "fitted_to": {fitted_to}}}\n')
