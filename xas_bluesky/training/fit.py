"""Train an ensemble, find out what it is worth, and write it."""

from collections.abc import Sequence

import numpy as np

from xas_bluesky.edges import find_edge
from xas_bluesky.errors import SettingsError
from xas_bluesky.models import EdgeCard, EdgeModel, Ensemble, ModelCard, SpectrumGNN, save
from xas_bluesky.prediction import Predictor
from xas_bluesky.training.asking import ask_examples
from xas_bluesky.training.baselines import mean_spectrum
from xas_bluesky.training.error_fit import fit_errors
from xas_bluesky.training.evaluation import Tested, figures, figures_together, plot, test_edge
from xas_bluesky.training.examples import GAUSSIAN, MOLECULAR, Example, hash_file, load_examples
from xas_bluesky.training.gap_fit import fit_gap, read_pairs, write_gap
from xas_bluesky.training.networks import fit_scalings, train_networks
from xas_bluesky.training.populations import fit_population
from xas_bluesky.training.settings import TrainingSettings

Figures = dict[str, dict[str, float]]
GAP_EDGE = "S K"
"""Where measured spectra of known compounds are shipped."""
FEWEST = 10
"""Structures of each part that an edge needs, to be trained, calibrated and tested."""


def train(settings: TrainingSettings, command: str, devices: int = 1) -> Figures:
    """Train, calibrate on the validation structures, look once at the test structures, save; returns the figures by edge.

    `command` is written down with them; `devices`: GPUs, or processes on CPUs, that share each network's batches. Raises
    SettingsError for settings that do not fit the data or the work folder, DatasetError for data that cannot be used.
    """
    if (settings.measured is None) != (settings.gap is None):
        raise SettingsError("measured, gap: one without the other; give both, or neither")
    if len({path.name for path in settings.data}) < len(settings.data):
        raise SettingsError("data: two of the same name; rename one, as the model's card names its data by them")
    if settings.measured is not None:
        if not settings.measured.exists():
            raise SettingsError(f"measured: {settings.measured} is not there; give a table of measured spectra")
        if settings.edges and GAP_EDGE not in map(str, map(find_edge, settings.edges)):
            raise SettingsError(f"measured: the gap is fitted at {GAP_EDGE}, which is not among the edges; add it")
    parts = _parts(load_examples(settings.data), settings)
    data = {path.name: hash_file(path) for path in settings.data}
    networks = train_networks(parts["train"], settings, data, devices)
    ensemble, kinds = make_ensemble(networks, parts["train"], parts["validation"])
    found = _test(ensemble, parts, settings)
    edges = {edge: _card(edge, parts["train"], kinds[edge]) for edge in ensemble.edges}
    save(settings.output, ensemble, ModelCard(networks[0].settings, len(networks), edges, data, command, found))
    if settings.measured is not None and settings.gap is not None:
        pairs = read_pairs(settings.measured, GAP_EDGE, Predictor.load(settings.output, "cpu"))
        write_gap(settings.gap, fit_gap(pairs), pairs)
    return found


def make_ensemble(
    networks: Sequence[SpectrumGNN], train: Sequence[Example], validation: Sequence[Example]
) -> tuple[Ensemble, dict[str, list[str]]]:
    """Add to trained networks what makes spectra with errors of their outputs; returns the names of the kinds, too."""
    edges: dict[str, EdgeModel] = {}
    kinds: dict[str, list[str]] = {}
    for edge, scaling in fit_scalings(train).items():
        population, kinds[edge] = fit_population(train, edge, scaling)
        known = ask_examples(networks[:1], train, edge).latent
        errors = fit_errors(known, ask_examples(networks, validation, edge), scaling, population)
        edges[edge] = EdgeModel(scaling, errors, population)
    return Ensemble(tuple(networks), edges), kinds


def _parts(examples: Sequence[Example], settings: TrainingSettings) -> dict[str, list[Example]]:
    """Part the examples, with their targets at the edges wanted."""
    edges = [str(find_edge(edge)) for edge in settings.edges] if settings.edges else list(GAUSSIAN)
    kept = [example.only(edges) for example in examples if set(edges) & set(example.targets)]
    parts = {
        part: [example for example in kept if example.part == part] for part in ("train", "validation", "test", "authors_test")
    }
    chosen = np.random.default_rng(settings.seed).permutation(len(parts["train"]))
    parts["train"] = [parts["train"][index] for index in sorted(chosen[: round(settings.fraction * len(chosen))])]
    for edge in edges if settings.edges else {edge for example in kept for edge in example.targets}:
        for part in ("train", "validation", "test"):
            if (count := sum(edge in example.targets for example in parts[part])) < FEWEST:
                raise SettingsError(
                    f"data: {count} structures of the {part} part at {edge}; give data with at least {FEWEST}, or other edges"
                )
    return parts


def _test(ensemble: Ensemble, parts: dict[str, list[Example]], settings: TrainingSettings) -> Figures:
    found: Figures = {}
    molecules: list[Tested] = []
    for edge, model in ensemble.edges.items():
        mean = mean_spectrum(parts["train"], edge, model.scaling, model.population.energy)
        for part, examples in parts.items():
            if part == "train" or not any(edge in example.targets for example in examples):
                continue
            tested = test_edge(ensemble, examples, edge)
            found[f"{edge} {part}"] = figures(tested, mean)
            if part == "test":
                plot(tested, edge, settings.work / f"{edge.replace(' ', '_')}.png")
                if find_edge(edge).absorber in MOLECULAR:
                    molecules.append(tested)
    if molecules:
        found["molecules test"] = figures_together(molecules)
    return found


def _card(edge: str, train: Sequence[Example], kinds: list[str]) -> EdgeCard:
    having = [example for example in train if edge in example.targets]
    return EdgeCard(
        lorentzian=find_edge(edge).width,
        gaussian=GAUSSIAN[edge],
        elements=sorted({int(number) for example in having for number in example.graphs[0].numbers}),
        structures=len(having),
        sites=sum(len(example.targets[edge].rows) for example in having),
        kinds=kinds,
    )
