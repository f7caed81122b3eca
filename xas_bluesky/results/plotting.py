"""Pictures of what was found."""

from typing import TYPE_CHECKING

import numpy as np

from xas_bluesky.errors import SpectrumError
from xas_bluesky.spectra import Absorption, Array

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from pandas import DataFrame

    from xas_bluesky.results.found import FoundRecord


def plot_record(record: "FoundRecord", ax: "Axes | None" = None) -> "Axes":
    """Plot what was measured, brought to the scale of the best candidate's predicted spectrum, and that with its error.

    Raises SpectrumError for a record that holds nothing measured on the energies of what was predicted.
    """
    predicted, measured, (name, shift) = record.predicted, record.measured, record.best
    row = predicted.candidate.index(name)
    energy, mean, std = predicted.energy + shift, predicted.mean[row], predicted.std[row]
    if measured is None:
        raise SpectrumError(f"record {record.key}: it was written before the measured points were kept; plot its raw run")
    ax = ax if ax is not None else _new_axes()
    at, mu, error = _on_scale(measured, energy, mean, record.key)
    ax.fill_between(energy, mean - std, mean + std, alpha=0.25, linewidth=0)
    ax.plot(energy, mean, label=f"{name}, predicted")
    ax.errorbar(at, mu, error, fmt="k.", markersize=4, linewidth=0.8, label="measured")
    ax.set(
        xlabel="energy / eV", ylabel="absorption / edge jumps", title=f"{record.metadata['sample']}, {record.metadata['edge']}"
    )
    ax.legend()
    return ax


def plot_overview(table: "DataFrame", ax: "Axes | None" = None) -> "Axes":
    """Plot the best probabilities of records over time, a colour a sample."""
    ax = ax if ax is not None else _new_axes()
    for sample, rows in table.groupby("sample", sort=False):
        ax.plot(rows["time"], rows["best_probability"], "o", label=str(sample))
    ax.set(xlabel="time", ylabel="probability of the best candidate", ylim=(-0.02, 1.02))
    if 0 < len(set(table["sample"])) <= 10:
        ax.legend()
    return ax


def _on_scale(measured: Absorption, energy: Array, mean: Array, key: str) -> tuple[Array, Array, Array]:
    """Return energies, mu and its error with the offset, slope and height taken out that fit them to a spectrum best."""
    kept = measured.usable & (measured.energy >= energy[0]) & (measured.energy <= energy[-1])
    at, mu, error = measured.energy[kept], measured.mu[kept], np.sqrt(measured.variance[kept])
    if len(at) < 4:
        raise SpectrumError(f"record {key}: only {len(at)} of its points lie on the predicted energies; plot its raw run")
    columns = np.stack([np.interp(at, energy, mean), np.ones(len(at)), at - at.mean()], axis=1)
    weight = 1 / np.where(error > 0, error, 1)
    height, offset, slope = np.linalg.lstsq(columns * weight[:, None], mu * weight, rcond=None)[0]
    if height <= 0:
        return at, mu, error  # nothing of it is seen: as it was measured
    return at, (mu - offset - slope * (at - at.mean())) / height, error / height


def _new_axes() -> "Axes":
    from matplotlib import pyplot

    return pyplot.subplots()[1]
