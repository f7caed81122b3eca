"""Identify each measured sulfur spectrum with a gap that was fitted to the other three.

Usage: python benchmarks/leave_one_out.py [--json]

Prints, for each spectrum: the probability of each class of sulfur among the shipped candidates, of none of these, what
becomes of "none of these" when the right class is taken off the list, and the log evidence under its own compound.
"""

import json
import sys
from importlib.resources import files
from pathlib import Path

from xas_bluesky.candidates import Candidate
from xas_bluesky.comparison import Gap, Identification, identify, make_hypotheses
from xas_bluesky.files import read_candidates
from xas_bluesky.prediction import Predictor
from xas_bluesky.structures import environment, kind_of, read_molecule
from xas_bluesky.training.gap_fit import Pair, fit_gap, log_evidence, read_pairs

EDGE = "S K"
CLASSES = {"S": "S(II)", "S(=C)": "S(II)", "S(=O)": "sulfoxide", "S(=O)(=O)": "sulfone", "S(-O)(=O)(=O)": "sulfonate"}
DATA = Path(str(files("xas_bluesky") / "data"))


def class_of(candidate: Candidate) -> str:
    """Name the class of a candidate's sulfur."""
    atoms = read_molecule(candidate, "S").GetAtoms()
    return next(CLASSES[kind_of(environment(atom))] for atom in atoms if atom.GetSymbol() == "S")


def answer(pair: Pair, candidates: list[Candidate], predictor: Predictor, gap: Gap) -> Identification:
    """Identify one measured spectrum among candidates."""
    prediction = predictor.predict(candidates, EDGE)
    return identify(pair.measured, make_hypotheses(prediction.spectra, prediction.population, gap))


def main() -> None:
    """Run it for each spectrum."""
    predictor = Predictor.load()
    candidates = list(read_candidates(DATA / "candidates" / "sulfur.csv"))
    classes = {candidate.name: class_of(candidate) for candidate in candidates}
    pairs = read_pairs(DATA / "known_spectra.csv", EDGE, predictor)
    rows: list[dict[str, object]] = []
    for pair in pairs:
        gap = fit_gap([other for other in pairs if other is not pair])
        found = answer(pair, candidates, predictor, gap)
        right = classes[pair.name]
        without = answer(pair, [one for one in candidates if classes[one.name] != right], predictor, gap)
        of = {
            name: round(sum(r.probability for r in found.ranking if classes[r.candidate] == name), 4)
            for name in dict.fromkeys(classes.values())
        }
        best = without.ranking[0]
        row: dict[str, object] = {"sample": pair.name, "right": right, **of, "none of these": round(found.none_of_these, 4)}
        row |= {"none, right class not listed": round(without.none_of_these, 4), "best then": round(best.probability, 4)}
        row["log evidence"] = round(log_evidence(pair, gap), 1)
        rows.append(row)
        if "--json" not in sys.argv:
            print(", ".join(f"{key}: {value}" for key, value in row.items()), flush=True)
    if "--json" in sys.argv:
        print(json.dumps(rows))


if __name__ == "__main__":
    main()
