"""Bonds and positions: bonds from positions alone, and whether both fit each other."""

import numpy as np
from numpy.typing import NDArray
from rdkit import Chem
from rdkit.Chem import rdDetermineBonds, rdMolTransforms
from scipy.optimize import LinearConstraint, milp

LONGEST_BOND = (1.15, 1.25)
"""Times the sum of two covalent radii; the second joins atoms across small rings, and is tried where the first falls short."""
LONGEST_MULTIPLE = {Chem.BondType.DOUBLE: 0.97, Chem.BondType.TRIPLE: 0.88}
"""Times that sum; a longer bond of this order stands in for hydrogens that are missing."""
MOST_BENT = 140.0
"""Degrees, less than any carbon with two neighbours and triple or cumulated bonds has, small rings included."""
LONGEST_SEARCH = 10.0
"""Seconds."""

BROKEN_BOND = 1.25
"""Times the sum of two covalent radii. None of 2,500 relaxed molecules had a bond from 1.10 to 1.35 of it."""

State = tuple[int, int, float]
"""Valence, formal charge, and what it costs to be so."""
CHARGED = 1.0
STATES: dict[str, tuple[State, ...]] = {
    "H": ((1, 0, 0.0),),
    "B": ((3, 0, 0.0), (4, -1, CHARGED)),
    "C": ((4, 0, 0.0), (3, -1, 1.5 * CHARGED)),
    "N": ((3, 0, 0.0), (4, 1, CHARGED), (2, -1, 1.2 * CHARGED)),
    "O": ((2, 0, 0.0), (1, -1, CHARGED), (3, 1, 1.5 * CHARGED)),
    "F": ((1, 0, 0.0),),
    "Si": ((4, 0, 0.0),),
    "P": ((3, 0, 0.0), (5, 0, 0.1), (4, 1, CHARGED)),
    "S": ((2, 0, 0.0), (4, 0, 0.1), (6, 0, 0.2), (1, -1, CHARGED), (3, 1, 1.5 * CHARGED)),
    "Cl": ((1, 0, 0.0), (7, 0, 0.3)),
    "As": ((3, 0, 0.0), (5, 0, 0.1)),
    "Se": ((2, 0, 0.0), (4, 0, 0.1), (6, 0, 0.2), (1, -1, CHARGED), (3, 1, 1.5 * CHARGED)),
    "Br": ((1, 0, 0.0),),
    "I": ((1, 0, 0.0),),
}
"""What an atom in a closed-shell molecule may be; S=O costs less than S⁺–O⁻, as the training set writes it."""
PERIODIC_TABLE = Chem.GetPeriodicTable()
ORDERS = {1: Chem.BondType.SINGLE, 2: Chem.BondType.DOUBLE, 3: Chem.BondType.TRIPLE}


def find_bonds(molecule: Chem.Mol) -> Chem.Mol | None:
    """Return a copy of a molecule of atoms and positions, with bonds, their orders and formal charges.

    Neighbours are atoms close to each other; bond orders and charges are those that cost least (STATES), neutral in all.
    None when no closed-shell, neutral molecule with all its hydrogens fits.
    """
    if any(atom.GetSymbol() not in STATES for atom in molecule.GetAtoms()):
        return None
    for longest in LONGEST_BOND:
        bonded = Chem.Mol(molecule)
        rdDetermineBonds.DetermineConnectivity(bonded, useVdw=True, covFactor=longest)
        if not _assign_orders(bonded) or any(_is_stretched(bond) for bond in bonded.GetBonds()):
            continue
        sane = Chem.SanitizeMol(bonded, catchErrors=True) == Chem.SanitizeFlags.SANITIZE_NONE
        if sane and not any(_is_bent(atom) for atom in bonded.GetAtoms()):
            return bonded
    return None


def _assign_orders(molecule: Chem.Mol) -> bool:
    bonds = list(molecule.GetBonds())
    states = [(atom.GetIdx(), *state) for atom in molecule.GetAtoms() for state in STATES[atom.GetSymbol()]]
    atoms, variables = molecule.GetNumAtoms(), len(bonds) + len(states)
    one_state, valence = np.zeros((atoms, variables)), np.zeros((atoms, variables))
    charge, cost = np.zeros((1, variables)), np.zeros(variables)
    for column, bond in enumerate(bonds):
        valence[[bond.GetBeginAtomIdx(), bond.GetEndAtomIdx()], column] = 1
    for column, (atom, bonded, charged, price) in enumerate(states, len(bonds)):
        one_state[atom, column], valence[atom, column], charge[0, column], cost[column] = 1, -bonded, charged, price
    lower, upper = np.zeros(variables), np.ones(variables)
    lower[: len(bonds)], upper[: len(bonds)] = 1, 3
    found = milp(
        cost,
        integrality=np.ones(variables),
        bounds=(lower, upper),
        constraints=[LinearConstraint(one_state, 1, 1), LinearConstraint(np.vstack([valence, charge]), 0, 0)],
        options={"time_limit": LONGEST_SEARCH},
    )
    if not found.success:
        return False
    chosen = np.rint(found.x).astype(int).tolist()
    for bond, order in zip(bonds, chosen, strict=False):
        bond.SetBondType(ORDERS[order])
    for (atom, _, charged, _), is_so in zip(states, chosen[len(bonds) :], strict=True):
        if is_so:
            molecule.GetAtomWithIdx(atom).SetFormalCharge(charged)
            molecule.GetAtomWithIdx(atom).SetNoImplicit(True)
    return True


def _is_stretched(bond: Chem.Bond) -> bool:
    ends = bond.GetBeginAtomIdx(), bond.GetEndAtomIdx()
    radii = sum(PERIODIC_TABLE.GetRcovalent(bond.GetOwningMol().GetAtomWithIdx(end).GetAtomicNum()) for end in ends)
    length = rdMolTransforms.GetBondLength(bond.GetOwningMol().GetConformer(), *ends)
    return length > LONGEST_MULTIPLE.get(bond.GetBondType(), np.inf) * radii


def _is_bent(atom: Chem.Atom) -> bool:
    """Tell whether a carbon was given triple or cumulated bonds that its angle belies: its hydrogens are missing."""
    ends = [other.GetIdx() for other in atom.GetNeighbors()]
    if atom.GetSymbol() != "C" or atom.GetHybridization() != Chem.HybridizationType.SP or len(ends) != 2:
        return False
    conformer = atom.GetOwningMol().GetConformer()
    return rdMolTransforms.GetAngleDeg(conformer, ends[0], atom.GetIdx(), ends[1]) < MOST_BENT


def broken_bond(molecule: Chem.Mol, positions: NDArray[np.float64]) -> str | None:
    """Name a bond of the molecule that is too long to be one at these positions (n, 3) Å, if there is any."""
    for bond in molecule.GetBonds():
        ends = (bond.GetBeginAtom(), bond.GetEndAtom())
        length = float(np.linalg.norm(np.subtract(*(positions[end.GetIdx()] for end in ends))))
        if length > BROKEN_BOND * sum(PERIODIC_TABLE.GetRcovalent(end.GetAtomicNum()) for end in ends):
            return f"{'–'.join(f'{end.GetSymbol()}{end.GetIdx()}' for end in ends)} ({length:.2f} Å)"
    return None
