"""Learn the prior of whole spectra from the tuned samples.

Usage: PYTHONPATH=benchmarks python benchmarks/recovering/learn_prior.py FOLDER

Correlation length, amplitude and mean over the energy from the edge are piecewise linear (length and amplitude in their
logarithm), those that make the first file of each tuned sample most likely, while each has an edge, a length and an
amplitude of its own. Writes xas_bluesky/data/whole_spectrum.json, of which xas_bluesky/decision/spectrum_prior.py reads all.
"""

import json
import sys
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from recovering.measured import AWAY, references

OUT = Path(__file__).parents[2] / "xas_bluesky" / "data" / "whole_spectrum.json"
SOURCE = "learned by benchmarks/recovering/learn_prior.py from a file of each tuned sample of XASDataLibrary 8aba6186 (CC0)"
KNOTS = torch.tensor([-40, -30, -20, -14, -10, -7, -4, -2, 0, 2, 4, 7, 10, 15, 20, 28, 40, 55, 70], dtype=torch.float64)
MEAN_KNOTS = torch.tensor([*range(-40, -12, 4), *range(-12, 22), *range(22, 74, 3)], dtype=torch.float64)
POINTS = torch.tensor([*range(-30, -12, 2), *range(-12, 20), *range(20, 61, 2)], dtype=torch.float64)
FINE = torch.arange(-60, 100, 0.25, dtype=torch.float64)
NOISE = 0.002
"""So much is not followed: what matters is the structure at the error that is to be reached."""
EDGE_SD, LENGTH_SD, AMPLITUDE_SD = 3.0, 0.3, 0.3
ROUNDS = 500
START = {"at": (-30, -8, 0, 8, 60), "amplitude": (0.01, 0.05, 0.3, 0.3, 0.1), "length": (10, 4, 2, 3, 10)}


def linear(at: Tensor, knots: Tensor, values: Tensor) -> Tensor:
    """Interpolate (and extrapolate) linearly."""
    left = torch.clamp(torch.searchsorted(knots, at.detach(), right=True) - 1, 0, len(knots) - 2)
    share = (at - knots[left]) / (knots[left + 1] - knots[left])
    return values[left] * (1 - share) + values[left + 1] * share


def roughness(values: Tensor, knots: Tensor) -> Tensor:
    """Sum the squared changes of slope."""
    return (torch.diff(torch.diff(values) / torch.diff(knots)) ** 2).sum()


def surprise(mu: Tensor, shared: dict[str, Tensor], own: dict[str, Tensor]) -> Tensor:
    """Return the negative log likelihood of one spectrum (points,)."""
    at = POINTS - own["edge"]
    table = torch.cumsum(torch.exp(-linear(FINE, KNOTS, shared["length"])) * 0.25, 0)
    way = linear(at, FINE, table) * torch.exp(-own["length"])
    size = torch.exp(linear(at, KNOTS, shared["amplitude"]) + own["amplitude"])
    scaled = 7**0.5 * (way[:, None] - way).abs()
    matern = (1 + scaled * (1 + scaled * (0.4 + scaled / 15))) * torch.exp(-scaled)
    factor = torch.linalg.cholesky(matern * size[:, None] * size + NOISE**2 * torch.eye(len(at), dtype=torch.float64))
    misfit = (mu - linear(at, MEAN_KNOTS, shared["mean"]))[:, None]
    whitened = torch.linalg.solve_triangular(factor, misfit, upper=False)
    return 0.5 * (whitened**2).sum() + torch.log(torch.diagonal(factor)).sum()


def learn(spectra: Tensor) -> dict[str, list[float]]:
    """Learn from spectra (n, points)."""
    start = {name: np.log(np.interp(KNOTS, START["at"], START[name])) for name in ("length", "amplitude")}
    start["mean"] = 0.5 + np.arctan(MEAN_KNOTS.numpy()) / np.pi
    shared = {name: torch.tensor(values, requires_grad=True) for name, values in start.items()}
    names = ("edge", "length", "amplitude")
    own = {name: torch.zeros(len(spectra), dtype=torch.float64, requires_grad=True) for name in names}
    quick = {"params": [own["edge"]], "lr": 0.1}
    optimizer = torch.optim.Adam([quick, {"params": [*shared.values(), own["length"], own["amplitude"]], "lr": 0.03}])
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, ROUNDS)
    for done in range(ROUNDS):
        optimizer.zero_grad()
        loss = sum(surprise(mu, shared, {name: own[name][i] for name in names}) for i, mu in enumerate(spectra))
        for name, sd in zip(names, (EDGE_SD, LENGTH_SD, AMPLITUDE_SD), strict=True):
            loss = loss + (own[name] ** 2).sum() / (2 * sd**2)
        loss = loss + 2 * roughness(shared["amplitude"], KNOTS) + 5 * roughness(shared["length"], KNOTS)
        loss = loss + 20 * roughness(shared["mean"], MEAN_KNOTS)
        loss.backward()
        optimizer.step()
        schedule.step()
        if done % 100 == 99:
            print(f"round {done + 1}: {loss.item():.1f}", flush=True)
    found = {"length": torch.exp(shared["length"]), "amplitude": torch.exp(shared["amplitude"]), "mean": shared["mean"]}
    return {name: [round(value, 4) for value in values.tolist()] for name, values in found.items()}


def main() -> None:
    """Learn and write."""
    torch.set_num_threads(1)
    tuned = {one.sample: one for one in reversed(list(references(Path(sys.argv[1])))) if one.tuned}
    places = np.searchsorted(AWAY, POINTS.numpy())
    learned = learn(torch.tensor(np.array([one.mu[places] for one in tuned.values()])))
    table = {"source": SOURCE, "samples": len(tuned), "knots": KNOTS.tolist(), "mean_knots": MEAN_KNOTS.tolist(), **learned}
    OUT.write_text(json.dumps(table, indent=1) + "\n")


if __name__ == "__main__":
    main()
