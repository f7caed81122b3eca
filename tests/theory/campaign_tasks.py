"""Tasks for campaigns in tests: fast, and imported by the worker processes too (see `sys.path` in test_campaign.py)."""

import os
import signal
import sys
import time
from pathlib import Path

import numpy as np
from rdkit import Chem

from xas_bluesky.candidates import Candidate
from xas_bluesky.errors import CalculationError
from xas_bluesky.structures import embed, read_molecule
from xas_bluesky.theory import ComputedMolecule, Sticks
from xas_bluesky.theory.campaign import run_campaign

PROVENANCE = {"excitations": "hydrogen-like", "geometry": "MMFF94s"}
SHELLS = np.arange(2.0, 6.0)


def hydrogen_like(candidate: Candidate, elements: tuple[str, ...]) -> ComputedMolecule:
    molecule = read_molecule(candidate, *elements)
    if not molecule.GetNumConformers():
        molecule = embed(molecule, "geometry")
    numbers = np.array([atom.GetAtomicNum() for atom in molecule.GetAtoms()])
    sites = tuple(
        Sticks(
            atom.GetIdx(),
            atom.GetSymbol(),
            13.6 * atom.GetAtomicNum() ** 2 * (1 - SHELLS**-2),
            SHELLS**-3,
            13.6 * atom.GetAtomicNum() ** 2,
            -1.0,
        )
        for atom in molecule.GetAtoms()
        if atom.GetSymbol() in elements
    )
    smiles = Chem.MolToSmiles(Chem.RemoveHs(molecule))
    return ComputedMolecule(smiles, numbers, molecule.GetConformer().GetPositions(), sites)


def eventful(candidate: Candidate, elements: tuple[str, ...]) -> ComputedMolecule:
    """Do what the name says."""
    what, _, detail = candidate.name.partition(" ")
    if what == "bug":
        raise KeyError(detail)
    if what == "scf":
        raise CalculationError(detail)
    if what == "threads":
        raise CalculationError(os.environ["OMP_NUM_THREADS"])
    if what == "kills" or (what == "once" and _first_time(Path(detail))):
        os.kill(os.getpid(), signal.SIGKILL)
    return hydrogen_like(candidate, elements)


def logged(log: str, seconds: float, candidate: Candidate, elements: tuple[str, ...]) -> ComputedMolecule:
    """Take so many seconds, and note process and candidate at the start."""
    with Path(log).open("a") as file:
        file.write(f"{os.getpid()} {candidate.name}\n")
    time.sleep(seconds)
    return hydrogen_like(candidate, elements)


def _first_time(marker: Path) -> bool:
    before = marker.exists()
    marker.touch()
    return not before


def alcohols(count: int) -> list[Candidate]:
    return [Candidate(f"alcohol {n}", "C" * n + "O") for n in range(1, count + 1)]


if __name__ == "__main__":
    from functools import partial

    output, log, seconds = sys.argv[1:]
    run_campaign(alcohols(20), ("O",), Path(output), partial(logged, log, float(seconds)), PROVENANCE, at_once=2)
