"""Count the points that a whole measured spectrum takes.

Usage: python benchmarks/whole_spectrum.py FOLDER [--all] [--jobs N] [--json]

Every .xdi file below FOLDER that covers e0 − 30 to e0 + 60 eV with a pre-edge noise below 0.002 is a reference: normalized,
smoothed by a spline as near to the points as their noise, on a grid of 0.25 eV, where the file's noise is added once, the
same for all methods. Counted are the points until the recovered spectrum has an error below 0.005 (root mean square) and an
edge (where mu rises fastest, smoothed as by xraylarch) within 0.1 eV. By default of each sample the first file is taken,
with --all every file. Reported by part: the prior was learned on the tuned samples, the others were only counted.
"""

import argparse
import json
import time
from pathlib import Path

import numpy as np
from joblib import Parallel, delayed
from recovering.hindsight import hindsight
from recovering.measured import Reference, references
from recovering.scans import Scan, bisection, gaussian_process, ours, uniform

from xas_bluesky.spectra import Array

MOST = 361
METHODS: dict[str, Scan] = {
    "ours": ours(1),
    "ours, 4 at a time": ours(4),
    "Gaussian process": gaussian_process,
    "bisection": bisection,
    "uniform": uniform,
}


def needed(scan: Scan, reference: Reference) -> int:
    """Return the points after which the spectrum is first recovered; MOST + 1 if it never is."""
    return next((len(chosen) for chosen, curve in scan(reference) if reference.reached(curve)), MOST + 1)


def count(reference: Reference) -> dict[str, float | str | bool]:
    """Count for one file; hindsight by interpolant, and the best of them."""
    row: dict[str, float | str | bool] = {"file": reference.name, "sample": reference.sample, "tuned": reference.tuned}
    known = hindsight(reference)
    row |= {f"hindsight, {kind}": points for kind, points in known.items()} | {"hindsight": min(known.values())}
    for name, scan in METHODS.items():
        start = time.perf_counter()
        row[name] = needed(scan, reference)
        row[f"{name}: s"] = time.perf_counter() - start
    return row


def summary(rows: list[dict[str, float | str | bool]]) -> dict[str, dict[str, float]]:
    """Return the table of one part, by method."""
    best = _column(rows, "hindsight")
    names = ["hindsight", *METHODS]
    table: dict[str, dict[str, float]] = {}
    for name in names:
        points = _column(rows, name)
        table[name] = {
            "median": _quantile(points, 0.5),
            "90 %": _quantile(points, 0.9),
            "ratio of medians": _quantile(points, 0.5) / _quantile(best, 0.5),
            "ratio of 90 %": _quantile(points, 0.9) / _quantile(best, 0.9),
            "median ratio": _quantile(points / best, 0.5),
            "90 % of ratios": _quantile(points / best, 0.9),
            "failed": float((points > MOST).mean()),
        }
    return table


def _column(rows: list[dict[str, float | str | bool]], name: str) -> Array:
    return np.array([row[name] for row in rows], dtype=np.float64)


def _quantile(values: Array, share: float) -> float:
    return float(np.quantile(values, share))


def main() -> None:
    """Print both parts' tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--all", action="store_true")
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    found = list(references(options.folder))
    if not options.all:
        found = list({one.sample: one for one in reversed(found)}.values())[::-1]
    rows = list(Parallel(n_jobs=options.jobs)(delayed(count)(one) for one in found))
    parts = {
        "tuned": [row for row in rows if row["tuned"]],
        "only reported": [row for row in rows if not row["tuned"]],
        "both": rows,
    }
    tables = {f"{part} ({len(own)} files)": summary(own) for part, own in parts.items() if own}
    if options.json:
        print(json.dumps({"tables": tables, "files": rows}, indent=1))
        return
    for part, table in tables.items():
        print(part)
        for name, values in table.items():
            print(f"  {name:20s}" + "  ".join(f"{key} {value:.3g}" for key, value in values.items()))


if __name__ == "__main__":
    main()
