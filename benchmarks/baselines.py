"""Compare the shipped model with baselines trained and tested on the same data: python benchmarks/baselines.py [--save].

Prints, for each edge of molecules, the relative L1 error on the test molecules of the mean spectrum, kernel ridge regression,
the reference network (the published kind), one network of ours and all, with paired 95 % intervals of ours over theirs.
`--save` ships the reference network.
"""

import json
import sys
from pathlib import Path

import numpy as np
import torch
from torch_geometric.data import Batch

from xas_bluesky.models import Ensemble, load
from xas_bluesky.models.reference_model import save_reference
from xas_bluesky.prediction import shipped_model
from xas_bluesky.prediction.reference_predictor import shipped_reference
from xas_bluesky.spectra import Array
from xas_bluesky.training.baselines import kernel_ridge, mean_spectrum
from xas_bluesky.training.evaluation import Tested, test_edge
from xas_bluesky.training.examples import hash_file, load_examples
from xas_bluesky.training.metrics import peak_within, ratio_interval
from xas_bluesky.training.reference import bond_graphs, train_reference
from xas_bluesky.training.settings import TrainingSettings

EDGES = ("C K", "N K", "O K", "F K", "S K")


def error(tested: Tested, predicted: Array) -> Array:
    """Return each structure's summed absolute error (n,), where spectra are computed."""
    return (np.abs(predicted - tested.computed) * tested.within).sum(axis=1)


def main() -> None:
    """Train the baselines on the shipped model's data, and test all."""
    torch.set_num_threads(1)
    ensemble, card = load(shipped_model())
    data = TrainingSettings.read(Path("xas_bluesky/training/model.toml")).data
    if {path.name: hash_file(path) for path in data} != card.data:
        sys.exit("the data are not those that the shipped model was trained on")
    examples = load_examples([path for path in data if not path.is_dir()])
    parts = {part: [example for example in examples if example.part == part] for part in ("train", "validation", "test")}
    reference = train_reference(parts["train"], parts["validation"], EDGES)
    if "--save" in sys.argv:
        save_reference(shipped_reference(), reference)
    for edge in EDGES:
        scaling = ensemble.edges[edge].scaling
        tested = test_edge(ensemble, parts["test"], edge)
        alone = [test_edge(Ensemble((network,), ensemble.edges), parts["test"], edge) for network in ensemble.networks]
        having = [example for example in parts["test"] if edge in example.targets]
        graphs = bond_graphs(having)
        by_bonds, _, _ = reference.predict(Batch.from_data_list([graphs[example.label] for example in having]), edge)
        sites, ionization = kernel_ridge(parts["train"], parts["validation"], having, edge, scaling)
        count = np.array([len(example.targets[edge].rows) for example in having])
        placed = scaling.placed(sites, ionization, tested.energy)
        by_kernel = np.add.reduceat(placed, np.cumsum(count) - count, axis=0) / count[:, None]
        errors = {
            "mean spectrum": error(tested, mean_spectrum(parts["train"], edge, scaling, tested.energy)),
            "kernel ridge": error(tested, by_kernel),
            "reference network": error(tested, by_bonds),
            "one network of ours": np.mean([error(tested, each.predicted.mean) for each in alone], axis=0),
            "ours": error(tested, tested.predicted.mean),
        }
        whole = (tested.computed * tested.within).sum()
        row: dict[str, object] = {"edge": edge, "molecules": len(having), "sites": int(count.sum())}
        row |= {name: round(float(found.sum() / whole), 4) for name, found in errors.items()}
        for name in ("kernel ridge", "reference network"):
            row[f"ours / {name}"] = [round(value, 3) for value in ratio_interval(errors["ours"], errors[name])]
        peaks = scaling.energy[sites.argmax(axis=1)] + ionization
        for width in (1.0, 0.5):
            row[f"kernel ridge, peak within {width:g} eV"] = round(peak_within(peaks, tested.peaks[1], width), 3)
        print(json.dumps(row), flush=True)


if __name__ == "__main__":
    main()
