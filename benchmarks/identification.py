"""Compare ways of measuring by how soon, and how honestly, the sample is identified.

Usage: python benchmarks/identification.py [--part validate|test] [--study isomers|unseen|perfect|measured]... [--runs N]

Before: python benchmarks/identifying/prepare.py. Truths are spectra computed from first principles, of molecules that the
networks have not seen, with Poisson noise, an unknown energy offset of up to 0.5 eV and a resolution 15 % off. The same
posterior answers all strategies, in groups that the conventional scan could not tell apart; motion counts. Studies: `isomers`,
up to 100 isomers of the truth, predicted; `unseen`, up to 100 computed molecules with the absorber that the networks have not
seen, isomers first, predicted; `perfect`, these with their computed spectra in the place of predictions; `measured`, the
shipped measured spectra. Rows of finished runs are kept in the folder of `--cache`, and not made again: remove them when the
package has changed.
"""

import argparse
import json
import math
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from identifying.measured import MEASURED, measured_runs
from identifying.plots import draw
from identifying.runs import STUDIES, Prepared, Row, run_case
from identifying.scoring import summary
from joblib import Parallel, delayed

from xas_bluesky.comparison import Gap

COUNTS = ("runs", "runs without the truth", "molecules", "candidates, mean", "groups, mean")


def jobs_of(study: str, options: argparse.Namespace, done: set[tuple[str, str, int]]) -> Iterator[Any]:
    """Yield what is still to be run: truths that take turns over the edges, each with its seeds."""
    prepared = [Prepared(options.cache, edge) for edge in options.edge]
    truths = {one.edge: one.truths(options.part) for one in prepared}
    longest = max(len(names) for names in truths.values())
    turns = [(one, truths[one.edge][turn]) for turn in range(longest) for one in prepared if turn < len(truths[one.edge])]
    per_truth, more = divmod(options.runs, len(turns))
    for place, (one, name) in enumerate(turns):
        seeds = [seed for seed in range(per_truth + (place < more)) if (one.edge, name, seed) not in done]
        if seeds and (case := one.case(name, study)) is not None:
            gap = Gap.of_theory(one.edge)
            yield delayed(run_case)(case, seeds, gap if options.temper is None else replace(gap, temper=options.temper))


def run(study: str, options: argparse.Namespace) -> list[Row]:
    """Run one study, or what is left of it, and return all its rows."""
    path = options.cache / f"{study}-{options.part}.jsonl"
    rows: list[Row] = [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []
    done = {(row["edge"], row["truth"], row["seed"]) for row in rows}
    work: Iterable[Any] = measured_runs(options.runs, done) if study == MEASURED else jobs_of(study, options, done)
    finished: Any = Parallel(n_jobs=options.jobs, return_as="generator_unordered", pre_dispatch="2*n_jobs")(work)
    with path.open("a") as file:
        for new in finished:
            file.writelines(json.dumps(row) + "\n" for row in new)
            file.flush()
            rows += new
            print(f"{study}: {len(rows)} runs, last {new[-1]['edge']} {new[-1]['truth']}", flush=True)
    return rows


def main() -> None:
    """Run the studies, write their figures as JSON and their picture."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--part", choices=("validate", "test"), default="validate")
    parser.add_argument("--study", action="append", choices=(*STUDIES, MEASURED))
    parser.add_argument("--runs", type=int, default=1000, help="runs of each study with the truth on the list")
    parser.add_argument("--edge", action="append", choices=("O K", "N K", "C K", "S K"))
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--temper", type=float, help="another power of the likelihood than the gap's own")
    parser.add_argument("--cache", type=Path, default=Path("runs/identification"))
    parser.add_argument("--output", type=Path, help="folder of identification.json and .png; by default that of --cache")
    options = parser.parse_args()
    options.edge = options.edge or ["O K", "N K", "C K"]
    rows = {study: run(study, options) for study in options.study or STUDIES}
    figures = {study: summary(found) for study, found in rows.items()}
    folder = options.output or options.cache
    (folder / "identification.json").write_text(json.dumps(_finite(figures), indent=1, allow_nan=False) + "\n")
    draw(rows, folder / "identification.png")
    for study, found in figures.items():
        print(f"\n{study}: " + ", ".join(f"{key} {found[key]}" for key in COUNTS))
        of_strategy = {f"accuracy at the end, {name}": of["final"] for name, of in found["accuracy"].items()}
        rows_of = {"": {**of_strategy, **found["ours"]}, "to come within 2 points, ": found["speed"], **found["honesty"]}
        for of, lines in rows_of.items():
            for name, (value, low, high) in lines.items():
                print(f"  {of if of.endswith(' ') or not of else of + ': '}{name:45} {value:9.4g}  ({low:.4g} to {high:.4g})")


def _finite(figures: Any) -> Any:
    """Return figures with null in the place of what is infinite, for JSON."""
    if isinstance(figures, dict):
        return {key: _finite(value) for key, value in figures.items()}
    if isinstance(figures, list | tuple):
        return [_finite(value) for value in figures]
    return None if isinstance(figures, float) and not math.isfinite(figures) else figures


if __name__ == "__main__":
    main()
