"""Compute single candidates while a scan runs: one JSON request per line on stdin, one JSON answer per line on stdout."""

import json
import os
import sys

import numpy as np

from xas_bluesky.candidates import Candidate
from xas_bluesky.edges import Edge
from xas_bluesky.errors import EdgeError, XASError
from xas_bluesky.spectra import Array, PredictedSpectra
from xas_bluesky.structures import describe, read_molecule
from xas_bluesky.theory.calculation import compute
from xas_bluesky.theory.calibration import excitation_energies, ionization_energy, k_edge
from xas_bluesky.theory.relative_spectra import GAUSSIANS, RELATIVE_ENERGY, relative_spectra
from xas_bluesky.theory.sticks import Sticks
from xas_bluesky.wire import array_from_wire, spectra_to_wire

NICE = 10
"""The scan, its analysis and the predictor go first where processors are few."""
SHIFT, HEIGHT, WINDOW = 0.06, 0.06, 2.0
"""Errors of a computed spectrum: of its energies, eV, and, relative, of its height, correlated over about WINDOW, eV.

So much do conformers of one molecule differ (benchmarks/escalation.py), of which one is computed; how far theory is from
measured spectra is `comparison`'s to know.
"""


def compute_spectrum(candidate: Candidate, edge: str, energy: Array) -> PredictedSpectra:
    """Compute the spectrum of one candidate on `energy` (m,) eV, in the form in which the networks predict it.

    Raises EdgeError for an edge that is not computed, CandidateError for a candidate that is not covered (a crystal, a
    charged, open-shell or too large molecule), and CalculationError where a step fails.
    """
    found = k_edge(edge)
    if str(found) not in GAUSSIANS:
        raise EdgeError(f"edge {edge!r}: no spectra are made for it; they are for {', '.join(map(repr, GAUSSIANS))}")
    molecule = compute(read_molecule(candidate, found.absorber), (found.absorber,))
    return spectrum_of(candidate.name, molecule.sites, found, energy)


def spectrum_of(name: str, sites: tuple[Sticks, ...], edge: Edge, energy: Array) -> PredictedSpectra:
    """Return the mean spectrum of the absorbers of one molecule, each placed at its ionization energy."""
    ionization = np.array([ionization_energy(site) for site in sites])
    relative = np.concatenate([excitation_energies(site) - zero for site, zero in zip(sites, ionization, strict=True)])
    strength, count = np.concatenate([site.strength for site in sites]), np.array([len(site.energy) for site in sites])
    spectra = relative_spectra(edge, relative, strength, count)
    placed = [np.interp(energy - zero, RELATIVE_ENERGY, spectrum) for zero, spectrum in zip(ionization, spectra, strict=True)]
    mean = np.mean(placed, axis=0)
    factors = np.concatenate([SHIFT * np.gradient(mean, energy)[None], HEIGHT * mean * _windows(energy - ionization.mean())])
    return PredictedSpectra(
        edge=str(edge),
        candidate=(name,),
        energy=energy,
        mean=mean[None],
        std=np.sqrt((factors**2).sum(axis=0))[None],
        factors=factors[None],
        ionization=ionization.mean(keepdims=True),
        supported=np.ones(1, dtype=np.bool_),
        distance=np.zeros(1),
        model="",
        source=("theory",),
    )


def _windows(relative: Array) -> Array:
    """Return functions of energy (k, m), the sum of whose squares is 1: bumps WINDOW apart."""
    last = RELATIVE_ENERGY[-1]
    centers = np.arange(-last, last + WINDOW / 2, WINDOW)
    place = np.clip(relative, -last, last)
    bumps = np.exp(-(((place - centers[:, None]) / WINDOW) ** 2))
    return bumps / np.sqrt((bumps**2).sum(axis=0))


def answer(line: str) -> dict[str, object]:
    """Answer one request; an error is an answer too."""
    request = json.loads(line)
    candidate = Candidate("molecule", request["structure"], format=request["format"])
    try:
        found = compute_spectrum(candidate, request["edge"], array_from_wire(request["energy"]))
    except Exception as error:  # whatever it is, the process goes on and the caller is told
        text = str(error) if isinstance(error, XASError) else f"{type(error).__name__}: {error}"
        return {"error": text.removeprefix(f"{describe(candidate)}: ")}
    return spectra_to_wire(found)


def main() -> None:
    """Serve until stdin closes."""
    os.nice(NICE)
    for line in sys.stdin:
        sys.stdout.write(json.dumps(answer(line)) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
