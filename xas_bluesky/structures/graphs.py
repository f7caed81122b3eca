"""Turn a molecule into the graph that the network reads."""

from collections import Counter
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from rdkit import Chem

ATOM_FEATURES = 12
"""Columns of AtomGraph.features: degree, hydrogens, formal charge, aromatic, in a ring, sp, sp2, sp3, and four more."""


@dataclass(frozen=True, slots=True)
class AtomGraph:
    """Hold a structure as the network reads it: atoms, positions, and which atoms absorb.

    `numbers` (n,) atomic numbers; `positions` (n, 3) Å; `features` (n, 12) of the bonding; `absorbers` (k,) atom indices;
    `environments` (k,) what surrounds each absorber, as text.
    """

    numbers: NDArray[np.int64]
    positions: NDArray[np.float32]
    features: NDArray[np.float32]
    absorbers: NDArray[np.int64]
    environments: tuple[str, ...]


def environment(atom: Chem.Atom) -> str:
    """Name what an absorber is bonded to, as in "S(-C)(-C)(=O)"; ":" marks an aromatic bond."""
    signs = {Chem.BondType.SINGLE: "-", Chem.BondType.DOUBLE: "=", Chem.BondType.TRIPLE: "#", Chem.BondType.AROMATIC: ":"}
    bonded = Counter(f"{signs.get(bond.GetBondType(), '~')}{bond.GetOtherAtom(atom).GetSymbol()}" for bond in atom.GetBonds())
    return atom.GetSymbol() + "".join(f"({neighbour})" for neighbour in sorted(bonded.elements()))


def molecular_graph(molecule: Chem.Mol, absorber: str) -> AtomGraph:
    """Make the graph of a molecule that has a conformer, every atom of element `absorber` marked as absorber."""
    atoms = list(molecule.GetAtoms())
    absorbers = [atom for atom in atoms if atom.GetSymbol() == absorber]
    return AtomGraph(
        numbers=np.array([atom.GetAtomicNum() for atom in atoms], dtype=np.int64),
        positions=molecule.GetConformer().GetPositions().astype(np.float32),
        features=np.array([_features(atom) for atom in atoms], dtype=np.float32),
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
