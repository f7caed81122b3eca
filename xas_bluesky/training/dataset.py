"""The sulfur training set: computed sticks as spectra on one grid, with the graphs of their molecules."""

import csv
import hashlib
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.progress import track
from scipy.special import voigt_profile

from xas_bluesky.candidates import Candidate
from xas_bluesky.edges import find_edge
from xas_bluesky.errors import CandidateError, SettingsError
from xas_bluesky.models.continuum import faded, ionization_energy
from xas_bluesky.spectra import FWHM, Array
from xas_bluesky.structures import AtomGraph, embed, molecular_graph, read_molecule
from xas_bluesky.structures.split import split
from xas_bluesky.theory.broadening import MEGABARN_EV

SHIFT = 53.3
"""What the authors of the set add to their computed energies, eV."""
LORENTZIAN, GAUSSIAN = 0.59, 1.0
"""Full widths at half maximum, eV: the S 1s core hole (xraydb) and a base resolution finer than any beamline's."""
SHORT = 0.5
"""A compound whose computed sticks end more than this (eV) below the end of GRID is left out: its spectrum is cut."""
GRID = np.round(np.arange(-12.0, 2.01, 0.2), 1)
"""Energies of the spectra, eV from the absorber's ionization energy: there, peaks of all bonding classes lie close."""


@dataclass(frozen=True, slots=True)
class Example:
    """Hold one molecule of the set: `spectrum` (m,) on GRID in atomic edge jumps; `part` train, test or authors' TEST."""

    name: str
    smiles: str
    part: str
    graph: AtomGraph
    spectrum: Array


def data_folder() -> Path:
    """Return the folder of the shipped set."""
    return Path(str(files("xas_bluesky") / "data" / "sulfur_k_tddft"))


def broaden(energy: Array, strength: Array, grid: Array) -> Array:
    """Turn sticks (eV, oscillator strength) into a Voigt-broadened spectrum on `grid`, in S K edge jumps."""
    lines = voigt_profile(grid[:, None] - energy, GAUSSIAN / FWHM, LORENTZIAN / 2)
    return MEGABARN_EV / find_edge("S K").jump * (lines @ strength)


def load_sulfur_set(folder: Path) -> list[Example]:
    """Read the set, skip blind molecules and compounds without a structure, and embed the rest.

    Raises SettingsError when the files are missing or broken, or do not belong together.
    """
    examples: list[Example] = []
    progress = Console(stderr=True)
    for row, roots, strengths in track(read_compounds(folder), "geometries", transient=True, console=progress):
        part = split(row["smiles"]) if row["smiles"] else "blind"
        if part == "blind":
            continue
        try:
            molecule = embed(read_molecule(Candidate(row["name"], row["smiles"]), "S"), row["name"])
        except CandidateError:
            continue  # no geometry: the data card counts these
        graph = molecular_graph(molecule, "S")
        relative = roots - np.mean([ionization_energy(name, "S K") for name in graph.environments])
        if relative.max(initial=-np.inf) < GRID[-1] - SHORT:
            continue
        final = "TEST" if row["type"] == "TEST" else part
        spectrum = faded(broaden(relative, strengths, GRID), GRID)
        examples.append(Example(row["name"], row["smiles"], final, graph, spectrum))
    return examples


def read_compounds(folder: Path) -> list[tuple[dict[str, str], Array, Array]]:
    """Return each compound's row (name, type, smiles), the energies (eV) of its sticks, with SHIFT, and their strengths.

    Raises SettingsError as `load_sulfur_set`.
    """
    try:
        with (folder / "molecules.csv").open(newline="", encoding="utf-8") as lines:
            rows = [{key: row[key] for key in ("name", "type", "smiles")} for row in csv.DictReader(lines)]
        with (folder / "sticks.npz").open("rb") as file, np.load(file, allow_pickle=False) as sticks:
            counts = sticks["n_sticks"]
            energy = sticks["energy"].astype(np.float64) + sticks["energy_offset"] + SHIFT
            strength = sticks["strength"].astype(np.float64)
    except (OSError, LookupError, ValueError, zipfile.BadZipFile) as error:
        raise SettingsError(
            f"{folder}: the training set cannot be read ({error}); give the folder of an unbroken one"
        ) from error
    if len(rows) != len(counts) or {len(energy), len(strength)} != {int(counts.sum())}:
        raise SettingsError(f"{folder}: {len(rows)} molecules but {len(counts)} sets of sticks; use files made together")
    ends = np.cumsum(counts)
    return list(zip(rows, np.split(energy, ends[:-1]), np.split(strength, ends[:-1]), strict=True))


def hash_data(folder: Path) -> str:
    """Return the first 16 hexadecimal digits of the SHA-256 of the set's files."""
    digest = hashlib.sha256()
    for name in ("molecules.csv", "sticks.npz"):
        digest.update((folder / name).read_bytes())
    return digest.hexdigest()[:16]


def spectra_of(examples: Sequence[Example]) -> Array:
    """Return the spectra (n, m) of examples."""
    return np.array([example.spectrum for example in examples])
