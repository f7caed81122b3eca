"""Which network and which loss: each choice against the basis, on the same validation structures, with paired intervals.

python benchmarks/model_experiments.py [NAME …]: trains one network per experiment, on part of the data, and prints a table.
Nothing here looks at a test structure.
"""

import json
import sys
from collections.abc import Callable, Sequence
from contextlib import redirect_stdout
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch

from xas_bluesky.training.asking import ask_examples
from xas_bluesky.training.examples import Example, load_examples
from xas_bluesky.training.metrics import peak_within, ratio_interval
from xas_bluesky.training.networks import fit_scalings, train_networks
from xas_bluesky.training.settings import TrainingSettings

DATA = sorted(Path("datasets/core_excitations").glob("*.parquet"))
EDGES = ("C K", "N K", "O K", "F K", "S K")
BASIS = TrainingSettings(
    data=DATA, output=Path("unused"), work=Path("unused"), fraction=0.25, epochs=30, compile=True
).model_copy(update={"networks": 1})


def unbonded(examples: Sequence[Example]) -> list[Example]:
    """Take from the graphs what RDKit says of bonds: elements and positions stay."""
    return [
        replace(example, graphs=tuple(replace(graph, features=0 * graph.features) for graph in example.graphs))
        for example in examples
    ]


def computed_geometry(examples: Sequence[Example]) -> list[Example]:
    """Train on no other geometry than the one that the spectra were computed with."""
    return [replace(example, graphs=example.graphs[:1] * 2) for example in examples]


def one_edge(edge: str) -> Callable[[Sequence[Example]], list[Example]]:
    """Train on one edge alone."""
    return lambda examples: [example.only([edge]) for example in examples if edge in example.targets]


def settings(**changes: object) -> TrainingSettings:
    """Return the basis with some settings changed."""
    return BASIS.model_copy(update=changes)


EXPERIMENTS: dict[str, tuple[TrainingSettings, Callable[[Sequence[Example]], Sequence[Example]]]] = {
    "basis: PaiNN, 64 wide, 3 rounds, L1": (BASIS, list),
    "1/16 of the data": (settings(fraction=0.0625, epochs=60), list),
    "1/8 of the data": (settings(fraction=0.125, epochs=45), list),
    "1/2 of the data": (settings(fraction=0.5, epochs=24), list),
    "the same with another seed": (settings(seed=1), list),
    "SchNet, 128 wide": (settings(body="schnet", width=128), list),
    "128 wide": (settings(width=128, trunk=256), list),
    "without features of the bonds": (BASIS, unbonded),
    "computed geometries only": (BASIS, computed_geometry),
    "L1 and slope (0.2)": (settings(derivative=0.2), list),
    "L1 and integral (0.1)": (settings(cumulative=0.1), list),
    "S alone": (BASIS, one_edge("S K")),
    "C alone": (BASIS, one_edge("C K")),
}


def run(wanted: Sequence[str]) -> None:
    """Train and compare; the basis always comes first."""
    torch.set_num_threads(1)
    examples = [example.only(EDGES) for example in load_examples(DATA)]
    validation = [example for example in examples if example.part == "validation"]
    basis: dict[str, np.ndarray] = {}
    for name, (told, change) in EXPERIMENTS.items():
        if wanted and name not in wanted and name != next(iter(EXPERIMENTS)):
            continue
        train = [example for example in examples if example.part == "train"]
        order = np.random.default_rng(0).permutation(len(train))
        train = change([train[index] for index in order[: round(told.fraction * len(train))]])
        with TemporaryDirectory() as folder, redirect_stdout(sys.stderr):
            networks = train_networks(train, told.model_copy(update={"work": Path(folder)}), {}, 1)
        scalings = fit_scalings(train)
        row: dict[str, object] = {"experiment": name, "structures": len(train)}
        asked_of = unbonded(validation) if change is unbonded else validation
        for edge, scaling in scalings.items():
            asked = ask_examples(networks, asked_of, edge)
            sites = scaling.sites(asked.outputs)
            errors = np.abs(asked.residuals(scaling)).sum(axis=1)
            top = [scaling.energy[spectra.argmax(axis=1)] for spectra in (sites.spectrum, asked.spectra)]
            peaks = top[0] + sites.ionization, top[1] + asked.ionization
            basis.setdefault(edge, errors)
            ratio = [round(value, 3) for value in ratio_interval(errors, basis[edge])]
            row[edge] = {
                "relative L1": round(float(errors.sum() / asked.spectra.sum()), 4),
                "ratio to the basis": ratio,
                "peaks within 1 eV": round(peak_within(*peaks, 1.0), 3),
                "within 0.5 eV": round(peak_within(*peaks, 0.5), 3),
            }
        print(json.dumps(row), flush=True)


if __name__ == "__main__":
    run(sys.argv[1:])
