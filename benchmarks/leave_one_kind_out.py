"""Measure how networks err on a kind of sulfur that they never saw: the width of a band without training support.

Usage: python benchmarks/leave_one_kind_out.py

Two networks are trained without one kind and predict it; prints the strongest peak's offset (eV), the centroid's, and the
ratio of heights, each as mean and standard deviation over the molecules of that kind.
"""

import numpy as np
import torch

from xas_bluesky.models.continuum import kind_of
from xas_bluesky.training.dataset import GRID, data_folder, load_sulfur_set, spectra_of
from xas_bluesky.training.fit import TrainingSettings, fit_network, spectra_by

KINDS = ("S(=O)(=O)", "S(=O)")
SEEDS = 2


def main() -> None:
    """Train without each kind in turn."""
    torch.set_num_threads(1)
    settings = TrainingSettings(output=data_folder(), interactions=2)  # nothing is written
    examples = [example for example in load_sulfur_set(settings.data) if example.part == "train"]
    for kind in KINDS:
        is_kind = [kind_of(example.graph.environments[0]) == kind for example in examples]
        seen = [example for example, left_out in zip(examples, is_kind, strict=True) if not left_out]
        unseen = [example for example, left_out in zip(examples, is_kind, strict=True) if left_out]
        known, truth = spectra_of(seen), spectra_of(unseen)
        center, scale = known.mean(axis=0), known.std(axis=0).mean()
        targets = ((known - center) / scale).astype(np.float32)
        networks = [fit_network([example.graph for example in seen], targets, settings, seed) for seed in range(SEEDS)]
        graphs = [example.graph for example in unseen]
        predicted = np.mean([spectra_by(network, graphs) for network in networks], axis=0) * scale + center
        offset = GRID[predicted.argmax(axis=1)] - GRID[truth.argmax(axis=1)]
        centroid = predicted @ GRID / predicted.sum(axis=1) - truth @ GRID / truth.sum(axis=1)
        height = predicted.max(axis=1) / truth.max(axis=1)
        figures = {"peak": offset, "centroid": centroid, "height": height}
        shown = ", ".join(f"{name} {values.mean():+.2f} ± {values.std():.2f}" for name, values in figures.items())
        print(f"{kind}: {len(unseen)} molecules: {shown}", flush=True)


if __name__ == "__main__":
    main()
