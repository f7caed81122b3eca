"""What a trained model is worth: its figures on structures that nothing was fitted to, and plots of good and bad cases."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from xas_bluesky.models import Ensemble
from xas_bluesky.prediction.structure_spectra import StructureSpectra, average_sites
from xas_bluesky.spectra import Array
from xas_bluesky.structures import kind_of
from xas_bluesky.training.asking import ask_examples
from xas_bluesky.training.examples import Example
from xas_bluesky.training.metrics import coverage, peak_within, rank_correlation, relative_l1

PERCENTILES = (10, 50, 90)
FEWEST_OF_A_KIND = 15
"""Structures, for a rank correlation within one kind of absorber."""


@dataclass(frozen=True, slots=True)
class Tested:
    """Hold the predictions for n structures at one edge, beside what was computed.

    `kinds` (n,): the kind that all absorbers of a structure are of, or nothing; `energy` (p,) eV; `computed` (n, p) spectra;
    `within` (n, p): where a structure's spectra are computed; `peaks` (2, k): main peaks of the site spectra, predicted and
    computed, eV.
    """

    labels: tuple[str, ...]
    kinds: tuple[str, ...]
    energy: Array
    predicted: StructureSpectra
    computed: Array
    within: NDArray[np.bool_]
    peaks: Array

    @property
    def errors(self) -> Array:
        """The relative L1 error (n,) of each structure."""
        return self.relative(np.abs(self.predicted.mean - self.computed))

    @property
    def expected(self) -> Array:
        """The error (n,) that the model expects of each structure, as `errors`."""
        return self.relative(self.predicted.std)

    def relative(self, values: Array) -> Array:
        """Return values (n, p) summed where spectra are computed, over the sum of these."""
        return (values * self.within).sum(axis=1) / (self.computed * self.within).sum(axis=1)


def test_edge(ensemble: Ensemble, examples: Sequence[Example], edge: str) -> Tested:
    """Predict the examples that have this edge, as they would be from their SMILES or crystal structures."""
    model = ensemble.edges[edge]
    asked = ask_examples(ensemble.networks, examples, edge)
    scaling, energy = model.scaling, model.population.energy
    sites = scaling.sites(asked.outputs)
    top = [scaling.energy[spectra.argmax(axis=1)] for spectra in (sites.spectrum, asked.spectra)]
    having = [example for example in examples if edge in example.targets]
    return Tested(
        labels=tuple(example.label for example in having),
        kinds=tuple(_kind(example, edge) for example in having),
        energy=energy,
        predicted=average_sites(model, sites, model.errors.distance(asked.latent), asked.count),
        computed=asked.means(scaling, energy),
        within=asked.within(scaling, energy),
        peaks=np.array([top[0] + sites.ionization, top[1] + asked.ionization]),
    )


def figures(tested: Tested, mean: Array) -> dict[str, float]:
    """Return the figures of merit of one edge; `mean` (p,): the mean spectrum of the training set."""
    predicted, within = tested.predicted, tested.within
    error, std = (np.where(within, values, 0) for values in (predicted.mean - tested.computed, predicted.std))
    ours, by_mean = np.abs(error).sum(), (np.abs(mean - tested.computed) * within).sum()
    inside = {
        f"coverage_{part}": coverage(predicted.mean[within], std[within], tested.computed[within], widths)
        for part, widths in ((68, 1.0), (95, 1.96))
    }
    found = {
        "structures": float(len(error)),
        "sites": float(tested.peaks.shape[1]),
        "relative_l1": relative_l1(predicted.mean[within], tested.computed[within]),
        "relative_l1_mean_spectrum": by_mean / tested.computed[within].sum(),
        "skill": 1 - ours / by_mean,
        "peak_within_1_eV": peak_within(tested.peaks[0], tested.peaks[1], 1.0),
        "peak_within_0.5_eV": peak_within(tested.peaks[0], tested.peaks[1], 0.5),
        **inside,
        "rank_correlation_expected_error": rank_correlation(tested.expected, tested.errors),
        "rank_correlation_distance": rank_correlation(predicted.distance, tested.errors),
        "unlike_training": float((~predicted.supported).mean()),
    }
    for kind, count in sorted(Counter(tested.kinds).items()):
        if kind and count >= FEWEST_OF_A_KIND:
            of = np.array(tested.kinds) == kind
            found[f"rank_correlation_within_{kind}"] = rank_correlation(tested.expected[of], tested.errors[of])
    return {name: round(float(value), 4) for name, value in found.items()}


def figures_together(tested: Sequence[Tested]) -> dict[str, float]:
    """Return how well errors are expected over several edges at once."""
    expected, errors = (np.concatenate([getattr(each, name) for each in tested]) for name in ("expected", "errors"))
    labels = {label for each in tested for label in each.labels}
    correlation = round(rank_correlation(expected, errors), 4)
    return {"structures": float(len(labels)), "spectra": float(len(errors)), "rank_correlation_expected_error": correlation}


def plot(tested: Tested, edge: str, path: Path) -> None:
    """Draw predicted against computed spectra at the 10th, 50th and 90th percentile of the error."""
    import matplotlib

    matplotlib.use("Agg", force=False)
    from matplotlib import pyplot

    order = np.argsort(tested.errors)
    figure, axes = pyplot.subplots(1, len(PERCENTILES), figsize=(12, 3.2), layout="constrained")
    for percentile, axis in zip(PERCENTILES, axes, strict=True):
        index = order[min(len(order) - 1, percentile * len(order) // 100)]
        shown = tested.within[index]
        energy, mean, std = tested.energy[shown], tested.predicted.mean[index, shown], tested.predicted.std[index, shown]
        axis.fill_between(energy, mean - std, mean + std, alpha=0.3, lw=0)
        axis.plot(energy, mean, label="predicted")
        axis.plot(energy, tested.computed[index, shown], "k", lw=1, label="computed")
        axis.set_title(f"{tested.labels[index]}\n{percentile} %: relative L1 {tested.errors[index]:.3f}", fontsize=8)
        axis.set_xlabel("energy (eV)")
    axes[0].set_ylabel(f"{edge} absorption (edge jumps)")
    axes[0].legend(fontsize=8)
    figure.savefig(path, dpi=120)
    pyplot.close(figure)


def _kind(example: Example, edge: str) -> str:
    kinds = {kind_of(example.predicted.environments[row]) for row in example.targets[edge].rows}
    return kinds.pop() if len(kinds) == 1 else ""
