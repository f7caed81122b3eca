"""Pictures of the identification benchmark."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np

from identifying.runs import Row
from identifying.scoring import NAMED, curves, final, prior_share, stated_and_right, weights

BINS = np.linspace(0.0, 1.0, 11)
FEWEST = 10
"""Answers in a bin, for a point in the reliability diagram."""
COLORS = {
    "conventional": "tab:gray",
    "shorter dwell": "tab:blue",
    "uniform subset": "tab:green",
    "uniform subset, short dwell": "tab:olive",
    "Gaussian process": "tab:purple",
    "ours": "tab:red",
}


def draw(studies: Mapping[str, Sequence[Row]], path: Path) -> None:
    """Draw one row a study: accuracy over seconds and photons, the reliability diagram, and the ROC curve."""
    mpl.use("Agg")
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(len(studies), 4, figsize=(19, 4.5 * len(studies)), layout="constrained", squeeze=False)
    for (name, rows), (seconds, photons, reliability, roc) in zip(studies.items(), axes, strict=True):
        _accuracy(seconds, rows, "seconds")
        _accuracy(photons, rows, "photons")
        _reliability(reliability, rows)
        _roc(roc, rows)
        runs = sum(row["present"] for row in rows)
        seconds.set_title(f"{name}: {runs} runs, truth on the list", fontsize=10)
    axes[0, 0].legend(fontsize=7)
    figure.savefig(path, dpi=100)
    plt.close(figure)


def _accuracy(axes: Any, rows: Sequence[Row], over: str) -> None:
    weight = weights([row for row in rows if row["present"]])
    for name, curve in curves(rows).items():
        accuracy = curve.accuracy(weight)
        low, high = np.quantile(accuracy[1:], [0.025, 0.975], axis=0)
        spent = (curve.seconds if over == "seconds" else curve.photons).mean(axis=0)
        (line,) = axes.plot(spent, accuracy[0], ".-", lw=1.2, ms=4, color=COLORS[name], label=name)
        axes.fill_between(spent, low, high, color=line.get_color(), alpha=0.12, lw=0)
    axes.set(xscale="log", xlabel="beam time / s" if over == "seconds" else "photons on the sample", ylim=(0, 1))
    axes.set_ylabel("truth in the most probable group")


def _reliability(axes: Any, rows: Sequence[Row]) -> None:
    for name in ("conventional", "ours"):
        table = final(rows, name)
        stated, right = stated_and_right(table)
        share, place = prior_share(table["present"]), np.clip(np.digitize(stated, BINS) - 1, 0, len(BINS) - 2)
        full = [index for index in range(len(BINS) - 1) if (place == index).sum() >= FEWEST]
        means = [
            [np.average(values[place == index], weights=share[place == index]) for index in full] for values in (stated, right)
        ]
        axes.plot(*means, "o-", ms=4, color=COLORS[name], label=name)
    axes.plot([0, 1], [0, 1], "k:", lw=0.8)
    axes.set(xlabel="stated probability of the answer", ylabel="share right", xlim=(0, 1), ylim=(0, 1))


def _roc(axes: Any, rows: Sequence[Row]) -> None:
    for name in ("conventional", "ours"):
        table = final(rows, name)
        present, named = table["present"], table["named"]
        thresholds = np.unique(np.concatenate([[0.0], named, [1.1]]))
        falsely = [(named[~present] >= threshold).mean() for threshold in thresholds]
        rightly = [((named >= threshold) & (table["right"] > 0))[present].mean() for threshold in thresholds]
        (line,) = axes.plot(falsely, rightly, color=COLORS[name], label=name)
        at = int(np.searchsorted(thresholds, NAMED))
        axes.plot(falsely[at], rightly[at], "o", color=line.get_color())
    axes.axvline(0.05, color="k", ls=":", lw=0.8)
    axes.set(xlabel="named though not on the list", ylabel="named and right, on the list", xlim=(0, 1), ylim=(0, 1))
