"""Choose constants of the gap by edge: the power of the likelihood, what favours "none of these", and the doubt.

Usage: python benchmarks/tempering.py [--edge "O K"]... [--molecules N] [--seconds S] [--jobs N]

Before: python benchmarks/identifying/prepare.py. The agent measures each validation molecule twice, with it among its isomers
and without, as in identification.py; the evidence at the end (or after S seconds) is weighed anew with other constants. For
each doubt and favour: the power by which stated probabilities are those found, and how the answers hold then. Wanted: the
least log loss, and candidates named that are not there in 5 % at most. What the agent measures is chosen by the shipped
constants, and not again by others: the more these differ, the less it says of them, so repeat it when they have changed.
"""

import argparse
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
from identifying.beamline import Beamline
from identifying.questions import Question
from identifying.runs import Case, Prepared, drawn, noise_of
from identifying.scoring import LEAST, NAMED, Table, prior_share, stated_and_right
from identifying.strategies import ours
from joblib import Parallel, delayed
from numpy.typing import NDArray

from xas_bluesky.comparison import Gap
from xas_bluesky.edges import find_edge
from xas_bluesky.errors import SpectrumError
from xas_bluesky.spectra import Array

POWERS = np.arange(0.3, 1.55, 0.05)
FAVOURS = np.arange(0.0, 4.1, 0.5)
DOUBTS = (0.0, 0.02, 0.03, 0.04)


@dataclass(frozen=True, slots=True)
class Evidence:
    """Hold what a run says: `log_prior` and `evidence` (h,) of the hypotheses, by whose each is.

    `whose` (h,): the group of a candidate, or the number of `groups` for none of these; `truth`: the truth's group, None where
    it is not listed.
    """

    whose: NDArray[np.int64]
    log_prior: Array
    evidence: Array
    groups: int
    truth: int | None

    def answer(self, power: float, favour: float, doubt: float) -> dict[str, float]:
        """Answer with other constants, as a row of `scoring.final`."""
        before = self._stated(0.0, favour)
        *candidates, none = (1 - doubt) * self._stated(power, favour) + doubt * before
        best = int(np.argmax(candidates))
        truth = none if self.truth is None else candidates[self.truth]
        return {"named": candidates[best], "right": best == self.truth, "truth": truth, "none": none}

    def _stated(self, power: float, favour: float) -> Array:
        weight = self.log_prior + power * self.evidence + favour * (self.whose == self.groups)
        stated = np.bincount(self.whose, np.exp(weight - weight.max()), minlength=self.groups + 1)
        return stated / stated.sum()


def evidence_of(question: Question, case: Case, seconds: float) -> Evidence | None:
    """Have the agent measure, and weigh what it has after some seconds; None where the points settle no edge step."""
    sample, settings = drawn(case, 0)
    beamline = Beamline(sample, find_edge(case.edge).energy, settings)
    ours(case.edge)(beamline, question)
    belief, groups = question.belief(), question.groups
    try:
        belief.update(beamline.absorption(seconds))
    except SpectrumError:
        return None
    hypotheses, log_weight = belief.hypotheses, belief.log_weight
    known = np.flatnonzero(np.isfinite(log_weight))
    group_of = {member: number for number, group in enumerate(groups) for member in group}
    whose = np.array([group_of.get(int(member), len(groups)) for member in hypotheses.member(known)])
    log_prior = hypotheses.log_prior[known]
    evidence = (log_weight[known] - log_prior) / question.gap.temper
    log_prior = log_prior - question.gap.favour_none * (whose == len(groups))
    truth = None if question.truth is None else group_of[question.truth]
    return Evidence(whose, log_prior, evidence - evidence.max(), len(groups), truth)


def evidences(case: Case, seconds: float) -> list[Evidence]:
    """Measure one molecule with and without it on the list."""
    listed = Question.of(case.prediction, Gap.of_theory(case.edge), noise_of(case.edge), case.truth)
    both = [question for question in (listed, listed.without_truth()) if question is not None]
    return [found for question in both if (found := evidence_of(question, case, seconds)) is not None]


def cases(folder: Path, edge: str, most: int | None) -> Iterator[Case]:
    """Yield the validation molecules that have isomers."""
    prepared = Prepared(folder, edge)
    for name in prepared.truths("validate")[:most]:
        if (case := prepared.case(name, "isomers")) is not None:
            yield case


def judged(runs: list[Evidence], power: float, favour: float, doubt: float) -> dict[str, float]:
    """Return how answers with these constants hold, as `scoring.honesty` says it."""
    answers = [run.answer(power, favour, doubt) for run in runs]
    table: Table = {field: np.array([one[field] for one in answers]) for field in answers[0]}
    table["present"] = np.array([run.truth is not None for run in runs])
    stated, right = stated_and_right(table)
    share = prior_share(table["present"])
    return {
        "stated minus right": float(share @ (stated - right)),
        "log loss": float(share @ -np.log(np.maximum(table["truth"], LEAST))),
        "accuracy, truth listed": float(table["right"][table["present"]].mean()),
        "not listed, yet named": float((table["named"] >= NAMED)[~table["present"]].mean()),
        "listed and named": float((table["named"] >= NAMED)[table["present"]].mean()),
    }


def main() -> None:
    """Measure, and print a table an edge."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--edge", action="append", choices=("O K", "N K", "C K"))
    parser.add_argument("--molecules", type=int, help="so many an edge; all by default")
    parser.add_argument("--seconds", type=float, default=np.inf, help="after which the answers count; at the end by default")
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--cache", type=Path, default=Path("runs/identification"))
    options = parser.parse_args()
    for edge in options.edge or ["O K", "N K", "C K"]:
        work = (delayed(evidences)(case, options.seconds) for case in cases(options.cache, edge, options.molecules))
        found: Any = Parallel(n_jobs=options.jobs, return_as="generator_unordered", pre_dispatch="2*n_jobs")(work)
        runs = [run for pair in found for run in pair]
        print(f"\n{edge}: {len(runs)} runs\ndoubt favour power  " + "  ".join(judged(runs, 0.3, 0.0, 0.0)))
        for doubt, favour in product(DOUBTS, FAVOURS):
            tried = ((power, judged(runs, power, favour, doubt)) for power in POWERS)
            power, of = min(tried, key=lambda one: abs(one[1]["stated minus right"]))
            figures = "  ".join(f"{value:{len(name)}.3f}" for name, value in of.items())
            print(f"{doubt:5.2f} {favour:6.1f} {power:5.2f}  {figures}")


if __name__ == "__main__":
    main()
