"""Compare our core excitations with the published TDDFT of the same compounds, and learn the covariance of theory's error.

Usage: python benchmarks/two_theories.py [DATASET] [--write]

--write puts what was learned into the shipped gap, whose sizes training then fits to measured spectra.

One constant (median over training compounds) is added to all published energies. Positions: of the strongest bound peak, ours
minus published, and the shift that lays the published spectrum best on ours, given a scale of its own. Areas: ours over
published. Constant and covariance come from training compounds; our own test compounds and the authors' TEST are apart.
"""

import json
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np

from xas_bluesky.comparison import Gap
from xas_bluesky.spectra import Array
from xas_bluesky.theory import read_dataset
from xas_bluesky.training.metrics import coverage
from xas_bluesky.training.sulfur_set import data_folder
from xas_bluesky.training.theory_gap import NOTHING, learn, log_evidence
from xas_bluesky.training.theory_pairs import GRID, TheoryError, TheoryPairs, fit_constant, pair_theories

DATASET = Path(__file__).parents[1] / "datasets" / "core_excitations" / "sulfur_k_tddft.parquet"
VALENCE = -3.0
"""eV: above it lie the Rydberg states, which the published basis set, without diffuse functions, cannot hold."""
SHIFTS = np.round(np.arange(-1.5, 1.51, 0.1), 1)
OUTLIER = 1.5
RANKS = (0, 4, 8, 12, 16)
KEPT = (16, 24, 34)
SHIPPED_RANK = 24
SHIPPED = Path(__file__).parents[1] / "xas_bluesky" / "data" / "gap.json"
FITTED = {
    "warp_sd": 0.026,
    "warp_length": 0.639,
    "strength_sd": 0.17,
    "strength_length": 0.682,
    "smooth_sd": 0.913,
    "smooth_length": 0.699,
    "floor_sd": 0.003,
    "onset": 3.671,
}
"""Sizes and lengths that maximize the evidence of 120 training pairs."""
PARTS = {"train": "training, all", "test": "own test", "TEST": "authors' TEST"}


def main() -> None:
    """Print the table, the covariance's findings and the outliers."""
    given = [Path(word) for word in sys.argv[1:] if word != "--write"]
    pairs = pair_theories(read_dataset(given[0] if given else DATASET), data_folder())
    constant = fit_constant(pairs)
    peaks = pairs.peak_differences() - constant
    computed, shift, scale, published = align(pairs, constant)
    print(f"{len(pairs)} pairs; {constant:+.2f} eV added to published energies\n")
    print_table(pairs, peaks, shift, computed, published[0])
    print_outliers(pairs, peaks, shift)
    train = pairs.part == "train"
    print_covariance([(computed - other)[train] for other in published])
    print(
        f"own shifts {shift[train].std():.2f} eV, own scales {scale[train].mean():.2f} ± {scale[train].std():.2f} (training)\n"
    )
    print_held_out(pairs, computed - published[0])
    learned = print_gaps(replace(pairs, published=pairs.published.shifted(constant)))
    if "--write" in sys.argv:
        shipped = json.loads(SHIPPED.read_text())
        shipped["gap"]["learned"] = learned.learned
        SHIPPED.write_text(json.dumps(shipped) + "\n")


def align(pairs: TheoryPairs, constant: float) -> tuple[Array, Array, Array, list[Array]]:
    """Return our spectra, each pair's best shift and scale, and the published after the constant, the shift, and both.

    Below the Rydberg states; shift and scale are fitted together, by least squares.
    """
    computed, near = pairs.computed.spectra(), GRID < VALENCE
    trials = np.array([pairs.published.shifted(constant + shift).spectra() for shift in SHIFTS])
    ours, theirs = computed[:, near], trials[:, :, near]
    scales = (ours * theirs).sum(axis=2) / (theirs**2).sum(axis=2)
    misfit = ((ours - scales[:, :, None] * theirs) ** 2).sum(axis=2)
    best = misfit.argmin(axis=0).clip(1, len(SHIFTS) - 2)
    row = np.arange(len(pairs))
    before, at, after = (misfit[best + step, row] for step in (-1, 0, 1))
    shift = SHIFTS[best] + 0.1 * np.clip((before - after) / 2 / (before - 2 * at + after), -1, 1)
    moved = pairs.published.shifted(constant + shift).spectra()
    scale = (ours * moved[:, near]).sum(axis=1) / (moved[:, near] ** 2).sum(axis=1)
    return computed, shift, scale, [pairs.published.shifted(constant).spectra(), moved, scale[:, None] * moved]


def print_table(pairs: TheoryPairs, peaks: Array, shift: Array, computed: Array, published: Array) -> None:
    """Print positions and areas by the sulfur's environment, training compounds, then all of each part."""
    print("                           strongest peak, eV                 within        best shift, eV   area, bound   valence")
    print("sulfur                 n  median   rms own-rms   p90   0.3   0.5   1.0   median   rms   median  p5–p95    median")
    train = pairs.part == "train"
    groups = {name: train & (pairs.environment == name) for name in sorted(set(pairs.environment[train]))}
    groups |= {title: pairs.part == part for part, title in PARTS.items()}
    for title, members in groups.items():
        off, moved = peaks[members], shift[members]
        if not len(off):
            continue
        within = [np.mean(np.abs(off) <= tolerance) for tolerance in (0.3, 0.5, 1.0)]
        bound, valence = (
            computed[np.ix_(members, low)].sum(axis=1) / published[np.ix_(members, low)].sum(axis=1)
            for low in (GRID < 0, GRID < VALENCE)
        )
        print(
            f"{title:18} {len(off):5} {np.median(off):+7.2f} {rms(off):5.2f} {rms(off - np.median(off)):7.2f} "
            f"{np.percentile(np.abs(off), 90):5.2f}",
            *(f"{share:5.0%}" for share in within),
            f"  {np.median(moved):+6.2f} {rms(moved):5.2f}   {np.median(bound):6.2f}",
            f"{np.percentile(bound, 5):.2f}–{np.percentile(bound, 95):.2f}    {np.median(valence):6.2f}",
        )
    print()


def print_outliers(pairs: TheoryPairs, peaks: Array, shift: Array) -> None:
    """Print the pairs whose strongest peaks lie far apart; a small best shift says that only the order of heights differs."""
    for place in np.argsort(-np.maximum(np.abs(peaks), np.abs(shift))):
        if max(abs(peaks[place]), abs(shift[place])) > OUTLIER:
            name = f"{pairs.name[place]} {pairs.environment[place]} {PARTS[str(pairs.part[place])]}"
            print(f"outlier: {name}: peak {peaks[place]:+.2f} eV, best shift {shift[place]:+.2f} eV")
    print()


def print_covariance(stages: list[Array]) -> None:
    """Print the differences' mean and standard deviation along energy, and what shift and scale hold of them."""
    print("eV from the ionization energy", *(f"{energy:6.0f}" for energy in GRID[::5]))
    print("mean difference, edge jumps  ", *(f"{value:+6.2f}" for value in stages[0].mean(axis=0)[::5]))
    names = ("standard deviation, as is", "  each shifted", "  each shifted and scaled")
    for name, stage in zip(names, stages, strict=True):
        print(f"{name:29}", *(f"{value:6.2f}" for value in stage.std(axis=0)[::5]))
    below = GRID < VALENCE
    total = stages[0][:, below].var(axis=0).sum()
    print_components("whole range, as is", stages[0])
    for name, stage in zip(names, stages, strict=True):
        left = stage[:, below].var(axis=0).sum() / total
        print_components(
            f"below {VALENCE:.0f} eV, {name.split(', ')[-1].strip()}", stage[:, below], f"{left:.0%} of the variance; "
        )


def print_components(title: str, differences: Array, note: str = "") -> None:
    """Print how many directions hold the variance of differences (n, m), and the shares of the first."""
    variance = np.linalg.svd(differences - differences.mean(axis=0), compute_uv=False) ** 2
    share = np.cumsum(variance) / variance.sum()
    enough = " / ".join(str(np.searchsorted(share, wanted) + 1) for wanted in (0.9, 0.99))
    leading = " ".join(f"{value:.0%}" for value in variance[:6] / variance.sum())
    print(f"{title}: {note}components for 90 / 99 %: {enough}; leading {leading}")


def print_held_out(pairs: TheoryPairs, differences: Array) -> None:
    """Print how well Gaussians fitted to the training pairs describe the others."""
    print("Gaussian of training pairs, per energy: share in 1 and 1.96 sd, Mahalanobis distance² (median, mean), log density")
    for rank in RANKS:
        error = TheoryError.fit(differences[pairs.part == "train"], rank)
        volume = np.linalg.slogdet(2 * np.pi * error.covariance)[1]
        for part, title in PARTS.items():
            held = differences[pairs.part == part]
            if len(held):
                inside = [coverage(np.broadcast_to(error.mean, held.shape), error.std, held, width) for width in (1, 1.96)]
                distance = error.distances(held)
                print(
                    f"rank {rank:2} {title:14} {len(held):4}  {inside[0]:4.0%} {inside[1]:4.0%}",
                    f"{np.median(distance) / len(GRID):6.2f} {distance.mean() / len(GRID):6.2f}",
                    f"{-(distance.mean() + volume) / 2 / len(GRID):+6.2f}",
                )


def print_gaps(pairs: TheoryPairs) -> Gap:
    """Learn the gap of the theories from training pairs, print its evidence per pair beside others', and return it."""
    learned = learn(pairs.select(pairs.part == "train"), max(KEPT))
    gaps = {"hand-set, Gap()": Gap(widths=NOTHING.widths)}
    gaps["fitted sizes and lengths"] = replace(NOTHING, shift=-0.06, shift_sd=0.197, **FITTED)
    gaps |= {f"learned, {rank} directions": replace(learned, learned=learned.learned[:rank]) for rank in KEPT}
    print("\nlog evidence per pair, -12 to 0 eV")
    for name, gap in gaps.items():
        parts = (f"{title} {log_evidence(pairs.select(pairs.part == part), gap).mean():+.1f}" for part, title in PARTS.items())
        print(f"{name:26}", *parts, sep="  ")
    print(f"shift {learned.shift:+.2f} ± {learned.shift_sd:.2f} eV")
    return replace(learned, learned=learned.learned[:SHIPPED_RANK])


def rms(values: Array) -> float:
    """Return the root mean square."""
    return float(np.sqrt(np.mean(values**2)))


if __name__ == "__main__":
    main()
