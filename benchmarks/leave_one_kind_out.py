"""Measure how a network errs on a kind of sulfur that it never saw: the width of a band without training support.

Usage: python benchmarks/leave_one_kind_out.py

A network is trained without one kind and predicts it; prints the strongest peak's offset (eV), the centroid's, and the ratio
of heights, each as mean and standard deviation over the absorbers of that kind.
"""

from pathlib import Path
from tempfile import TemporaryDirectory

import torch

from xas_bluesky.structures import kind_of
from xas_bluesky.training.asking import ask_examples
from xas_bluesky.training.examples import Example, load_examples
from xas_bluesky.training.networks import fit_scalings, train_networks
from xas_bluesky.training.settings import TrainingSettings

KINDS = ("S(=O)(=O)", "S(=O)")
DATA = [Path("datasets/core_excitations") / name for name in ("sulfur.parquet", "sulfur_k_tddft.parquet")]


def holds(example: Example, kind: str) -> bool:
    """Say whether an absorber of the molecule is of this kind."""
    return kind in map(kind_of, example.graphs[0].environments)


def main() -> None:
    """Train without each kind in turn."""
    torch.set_num_threads(1)
    examples = [example.only(["S K"]) for example in load_examples(DATA) if example.part == "train"]
    for kind in KINDS:
        seen = [example for example in examples if not holds(example, kind)]
        unseen = [example for example in examples if holds(example, kind) and len(example.targets["S K"].rows) == 1]
        with TemporaryDirectory() as folder:
            settings = TrainingSettings(data=DATA, output=Path(folder), work=Path(folder), networks=2, epochs=40, parallel=2)
            networks = train_networks(seen, settings, {}, 1)
        scaling = fit_scalings(seen)["S K"]
        asked = ask_examples(networks, unseen, "S K")
        sites = scaling.sites(asked.outputs)
        grid = scaling.energy
        predicted, truth = sites.spectrum, asked.spectra
        lower = sites.ionization - asked.ionization
        bound = grid < 0
        peak = grid[bound][predicted[:, bound].argmax(axis=1)] - grid[bound][truth[:, bound].argmax(axis=1)] + lower
        centroid = [spectra[:, bound] @ grid[bound] / spectra[:, bound].sum(axis=1) for spectra in (predicted, truth)]
        height = predicted[:, bound].max(axis=1) / truth[:, bound].max(axis=1)
        figures = {"peak": peak, "centroid": centroid[0] - centroid[1] + lower, "height": height}
        shown = ", ".join(f"{name} {values.mean():+.2f} ± {values.std():.2f}" for name, values in figures.items())
        print(f"{kind}: {len(unseen)} molecules: {shown}", flush=True)


if __name__ == "__main__":
    main()
