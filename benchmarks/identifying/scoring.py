"""Figures of many runs: accuracy over seconds and photons, how fast, how honest; with intervals from resampled molecules."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from identifying.runs import Row
from identifying.strategies import checkpoints
from xas_bluesky.comparison.hypotheses import NONE_PRIOR
from xas_bluesky.spectra import Array

RESAMPLED = 1000
WITHIN = 0.02
"""A scan is as good as another when its accuracy is at most this much below."""
NAMED = 0.95
"""From this probability on a candidate is named."""
BASELINES = ("shorter dwell", "uniform subset")
LEAST = 1e-6
"""Stated probabilities are rounded to six digits: a smaller one counts as this in the log loss."""

Table = dict[str, NDArray[Any]]
Interval = tuple[float, float, float]
"""A figure, and the ends of its 95 % interval."""


@dataclass(frozen=True, slots=True)
class Curve:
    """Hold a strategy's answers in r runs, at k times or in k variants: `seconds`, `photons`, `right` (r, k)."""

    seconds: Array
    photons: Array
    right: Array

    def accuracy(self, weight: Array) -> Array:
        """Return the share of right answers (…, k) of runs that count as much as `weight` (…, r)."""
        return weight @ self.right / weight.sum(axis=-1, keepdims=True)

    def reaches(self, target: float, weight: Array, *, stays: bool) -> float:
        """Return the seconds after which the accuracy is at least `target`, interpolated; infinite when it never is.

        `stays`: never falls below it again; else the first time counts.
        """
        seconds, accuracy = weight @ self.seconds / weight.sum(), self.accuracy(weight)
        order = np.argsort(seconds, kind="stable")
        seconds, accuracy = seconds[order], accuracy[order]
        enough = accuracy >= target
        there = np.flatnonzero(np.logical_and.accumulate(enough[::-1])[::-1] if stays else enough)
        if not len(there):
            return float("inf")
        first = int(there[0])
        if first == 0:
            return float(seconds[0])
        share = (target - accuracy[first - 1]) / (accuracy[first] - accuracy[first - 1])
        return float(seconds[first - 1] + share * (seconds[first] - seconds[first - 1]))


def curves(rows: Sequence[Row]) -> dict[str, Curve]:
    """Return the curve of every strategy over the runs whose truth was on the list."""
    present = [row for row in rows if row["present"]]
    found: dict[str, Curve] = {}
    for kind in ("in_time", "families"):
        for name in present[0][kind]:
            answers = [row[kind][name] for row in present]
            right, seconds, photons = (_table(answers, field) for field in ("right", "seconds", "photons"))
            # between two answers time goes on; after the last one the scan is over
            seconds = np.broadcast_to(checkpoints(), right.shape).copy() if kind == "in_time" else seconds
            found[name] = Curve(seconds, photons, right)
    return found


def weights(rows: Sequence[Row]) -> Array:
    """Return how often each run counts (1 + RESAMPLED, r): once, and in resamples of the molecules."""
    _, molecule = np.unique([row["truth"] for row in rows], return_inverse=True)
    count = int(molecule.max()) + 1
    drawn = np.random.default_rng(0).multinomial(count, np.full(count, 1 / count), size=RESAMPLED)
    return np.concatenate([np.ones((1, len(rows))), drawn[:, molecule].astype(np.float64)])


def interval(figure: Callable[[Array], float], weight: Array) -> Interval:
    """Return a figure of weighted runs with its 95 % interval."""
    values = np.array([figure(one) for one in weight])
    low, high = np.quantile(values[1:], [0.025, 0.975], method="nearest")
    return float(f"{values[0]:.4g}"), float(f"{low:.4g}"), float(f"{high:.4g}")


def speed(found: dict[str, Curve], weight: Array) -> dict[str, float]:
    """Return when the better baseline and ours come within WITHIN of the baseline's greatest accuracy, and the ratio.

    For the baselines the first of their scans counts that does, which is in their favour; ours has to stay there.
    """
    target = max(float(found[name].accuracy(weight).max()) for name in BASELINES) - WITHIN
    theirs = min(found[name].reaches(target, weight, stays=False) for name in BASELINES)
    shortened = found["uniform subset, short dwell"].reaches(target, weight, stays=False)
    mine = found["ours"].reaches(target, weight, stays=True)
    return {"target": target, "theirs": theirs, "short subset": shortened, "ours": mine, "ratio": mine / theirs}


def final(rows: Sequence[Row], strategy: str) -> Table:
    """Return what a strategy answered at the end of each run, by field (r,), and whether the truth was `present`."""
    last = [row["in_time"][strategy][-1] for row in rows]
    table = {field: np.array([one[field] for one in last]) for field in last[0]}
    return table | {"present": np.array([row["present"] for row in rows])}


def honesty(rows: Sequence[Row], strategy: str, weight: Array) -> dict[str, Interval]:
    """Return how the stated probabilities of a strategy's last answers hold.

    The answer is the most probable of the groups and "none of these". Runs without the truth on the list count so that their
    share is NONE_PRIOR, which is what the posterior assumes.
    """
    table = final(rows, strategy)
    stated, right = stated_and_right(table)
    share = prior_share(table["present"])
    names = table["present"], ~table["present"]
    sure = table["named"] >= NAMED

    def mean(values: NDArray[Any], among: NDArray[np.bool_] | None = None) -> Interval:
        counts = share if among is None else among.astype(float)
        return interval(lambda one: float((one * counts) @ values / max((one * counts).sum(), 1e-12)), weight)

    return {
        "stated minus right": mean(stated - right),
        "stated": mean(stated),
        "right": mean(right.astype(float)),
        "log loss (nats)": mean(-np.log(np.maximum(table["truth"], LEAST))),
        "stated minus right, truth listed": mean(stated - right, names[0]),
        "truth not listed, yet named": mean(sure.astype(float), names[1]),
        "truth listed and named": mean((sure & (table["right"] > 0)).astype(float), names[0]),
        "wrong of those named, truth listed": mean(1.0 - table["right"], names[0] & sure),
    }


def stated_and_right(table: Table) -> tuple[Array, NDArray[np.bool_]]:
    """Return the probability of the most probable answer, none of these included, and whether it is right (r,)."""
    none = table["none"] > table["named"]
    return np.maximum(table["none"], table["named"]), np.where(none, ~table["present"], table["right"] > 0)


def prior_share(present: NDArray[np.bool_]) -> Array:
    """Return how much runs count (r,), so that those without the truth on the list have the share NONE_PRIOR."""
    absent = max(int((~present).sum()), 1)
    return np.where(present, (1 - NONE_PRIOR) / max(int(present.sum()), 1), NONE_PRIOR / absent)


def summary(rows: Sequence[Row]) -> dict[str, Any]:
    """Return all figures of one study."""
    present = [row for row in rows if row["present"]]
    found, weight, of_all = curves(rows), weights(present), weights(rows)
    plateau = {name: int(np.argmax(curve.accuracy(weight[0]))) for name, curve in found.items()}
    ends = {name: plateau[name] if "subset" in name or name == "shorter dwell" else -1 for name in found}
    return {
        "runs": len(present),
        "runs without the truth": len(rows) - len(present),
        "molecules": len({row["truth"] for row in rows}),
        "candidates, mean": round(float(np.mean([row["candidates"] for row in present])), 1),
        "groups, mean": round(float(np.mean([row["groups"] for row in present])), 1),
        "accuracy": {
            name: {
                "final": interval(lambda one, curve=curve, end=ends[name]: float(curve.accuracy(one)[end]), weight),
                "seconds": [round(float(value), 1) for value in curve.seconds.mean(axis=0)],
                "photons": [float(f"{value:.3g}") for value in curve.photons.mean(axis=0)],
                "at each": [round(float(value), 4) for value in curve.accuracy(weight[0])],
            }
            for name, curve in found.items()
        },
        "ours": {
            "most probable candidate is the truth": interval(_mean_at_end(present, "first_right"), weight),
            **{name: interval(_mean_at_end(present, name), weight) for name in ("size", "seconds", "points", "photons")},
        },
        "speed": {
            key: interval(lambda one, key=key: speed(found, one)[key], weight)
            for key in ("target", "theirs", "short subset", "ours", "ratio")
        },
        "honesty": {name: honesty(rows, name, of_all) for name in ("ours", "conventional")},
    }


def _table(answers: Sequence[Sequence[Row]], field: str) -> Array:
    return np.array([[float(one[field]) for one in row] for row in answers])


def _mean_at_end(present: Sequence[Row], field: str) -> Callable[[Array], float]:
    values = final(present, "ours")[field]
    return lambda one: float(one @ values / one.sum())
