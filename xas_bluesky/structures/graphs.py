"""Turn a structure into the graph that the networks read."""

import re
from collections import Counter
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from rdkit import Chem

CUTOFF = 5.0
"""Atoms farther apart than this (Å) exchange no message."""

HEAVIEST = 99
"""The last element, einsteinium, that a graph may hold."""
ATOM_FEATURES = 12
"""Columns of AtomGraph.features: degree, hydrogens, formal charge, aromatic, in a ring, sp, sp2, sp3, and four more."""


@dataclass(frozen=True, slots=True)
class AtomGraph:
    """Hold a structure as the networks read it: atoms, the neighbours of each, and which atoms absorb.

    `numbers` (n,) atomic numbers; `features` (n, 12) of the bonding, zero in a crystal; `edges` (2, e) sender and receiver of
    each pair within CUTOFF, `vectors` (e, 3) from receiver to sender, Å; `absorbers` (k,) atom indices; `environments` (k,)
    what surrounds each absorber, as text.
    """

    numbers: NDArray[np.int64]
    features: NDArray[np.float32]
    edges: NDArray[np.int64]
    vectors: NDArray[np.float32]
    absorbers: NDArray[np.int64]
    environments: tuple[str, ...]


def environment(atom: Chem.Atom) -> str:
    """Name what an absorber is bonded to, as in "S(-C)(-C)(=O)"; ":" marks an aromatic bond."""
    signs = {Chem.BondType.SINGLE: "-", Chem.BondType.DOUBLE: "=", Chem.BondType.TRIPLE: "#", Chem.BondType.AROMATIC: ":"}
    bonded = Counter(f"{signs.get(bond.GetBondType(), '~')}{bond.GetOtherAtom(atom).GetSymbol()}" for bond in atom.GetBonds())
    return atom.GetSymbol() + "".join(f"({neighbour})" for neighbour in sorted(bonded.elements()))


def kind_of(environment: str) -> str:
    """Return what of an environment settles where its spectrum lies: the oxygen atoms, and a carbon doubly bonded.

    The kinds of sulfur are so "S", "S(=C)", "S(=O)", "S(=O)(=O)", …
    """
    neighbours = re.findall(r"\([^)]*\)", environment)
    symbol = environment.partition("(")[0]
    return symbol + "".join(found for found in neighbours if found.endswith("O)") or found == "(=C)")


def molecular_graph(molecule: Chem.Mol, *elements: str, conformer: int = -1) -> AtomGraph:
    """Make the graph of a molecule's conformer, by default its first, every atom of these elements marked as absorber."""
    atoms = list(molecule.GetAtoms())
    absorbers = [atom for atom in atoms if atom.GetSymbol() in elements]
    positions = molecule.GetConformer(conformer).GetPositions()
    apart = positions[None] - positions[:, None]  # [receiver, sender]
    near = (np.linalg.norm(apart, axis=-1) < CUTOFF) & ~np.eye(len(atoms), dtype=bool)
    receivers, senders = near.nonzero()
    return AtomGraph(
        numbers=np.array([atom.GetAtomicNum() for atom in atoms], dtype=np.int64),
        features=np.array([_features(atom) for atom in atoms], dtype=np.float32),
        edges=np.stack([senders, receivers]),
        vectors=apart[receivers, senders].astype(np.float32),
        absorbers=np.array([atom.GetIdx() for atom in absorbers], dtype=np.int64),
        environments=tuple(environment(atom) for atom in absorbers),
    )


def _features(atom: Chem.Atom) -> list[float]:
    hybridization = atom.GetHybridization()
    bonds = Counter(bond.GetBondType() for bond in atom.GetBonds())
    return [
        atom.GetDegree() / 4,
        atom.GetTotalNumHs(includeNeighbors=True) / 4,
        atom.GetFormalCharge(),
        atom.GetIsAromatic(),
        atom.IsInRing(),
        hybridization == Chem.HybridizationType.SP,
        hybridization == Chem.HybridizationType.SP2,
        hybridization == Chem.HybridizationType.SP3,
        bonds[Chem.BondType.DOUBLE] / 2,
        bonds[Chem.BondType.TRIPLE],
        sum(other.GetSymbol() == "O" for other in atom.GetNeighbors()) / 4,
        atom.IsInRingSize(5),
    ]
