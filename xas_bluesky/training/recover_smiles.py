"""Rules that recover the structures of the sulfur K-edge training set, and check them.

The set (Tetef, Govind, Seidler, PCCP 2021, doi:10.1039/D1CP02903G) names its compounds and sorts them by the bonding of
their one sulfur atom. Its sulfoxides and sulfones are mostly named after the sulfide they come from.
"""

from typing import Final, Literal

from rdkit import Chem

from xas_bluesky.errors import CandidateError
from xas_bluesky.structures.smiles import parse_smiles

BondingClass = Literal["Type1", "Type2", "Type3", "Type4", "Type5"]
"""Type1: sulfides, thiophenes, thiazoles; Type2: S=C; Type3: thiols; Type4: one S=O; Type5: two S=O."""

OXIDE_SUFFIXES: Final = {"sulfoxide": 1, "oxide": 1, "sulfone": 2}
"""How the names end, and the number of oxygens added to the parent's sulfur; the longest ending comes first."""

SULFUR: Final = 16


def split_oxide_name(name: str) -> tuple[str, int] | None:
    """Split the name of an oxidized compound into its parent's name and the number of oxygens added.

    Returns None when the name has no such ending, or nothing in front of it.
    """
    for suffix, oxygens in OXIDE_SUFFIXES.items():
        if name.lower().endswith(suffix):
            parent, separator = name[: -len(suffix) - 1], name[-len(suffix) - 1 : -len(suffix)]
            return (parent, oxygens) if parent and separator in ("-", "_") else None
    return None


def oxidize(smiles: str, oxygens: Literal[1, 2]) -> str:
    """Bind one or two oxygen atoms to the only divalent sulfur (of a sulfide or thiophene); return canonical SMILES.

    Raises CandidateError when the SMILES does not parse or has no such sulfur, or several: which one is then not known.
    """
    molecule = Chem.RWMol(parse_smiles(smiles))
    Chem.Kekulize(molecule, clearAromaticFlags=True)  # an oxidized sulfur has no lone pair left for an aromatic ring
    divalent = [atom for atom in molecule.GetAtoms() if atom.GetAtomicNum() == SULFUR and _is_divalent(atom)]
    if len(divalent) != 1:
        raise CandidateError(f"{smiles}: {len(divalent)} divalent sulfur atoms can be oxidized, expected exactly one")
    for _ in range(oxygens):
        molecule.AddBond(divalent[0].GetIdx(), molecule.AddAtom(Chem.Atom("O")), Chem.BondType.DOUBLE)
    Chem.SanitizeMol(molecule)
    return Chem.MolToSmiles(molecule)


def bonding_class(smiles: str) -> BondingClass:
    """Sort a molecule by the bonding of its one sulfur atom.

    Raises CandidateError when the SMILES does not parse, is charged or of several parts, has not exactly one sulfur, or
    the sulfur is in none of the five classes.
    """
    molecule = parse_smiles(smiles)
    if len(Chem.GetMolFrags(molecule)) != 1:
        raise CandidateError(f"{smiles}: several separate parts, expected one molecule")
    if Chem.GetFormalCharge(molecule) != 0:
        raise CandidateError(f"{smiles}: charged, expected a neutral molecule")
    sulfurs = [atom for atom in molecule.GetAtoms() if atom.GetAtomicNum() == SULFUR]
    if len(sulfurs) != 1:
        raise CandidateError(f"{smiles}: {len(sulfurs)} sulfur atoms, expected exactly one")
    sulfur = sulfurs[0]
    doubly_bound = sorted(
        bond.GetOtherAtom(sulfur).GetSymbol() for bond in sulfur.GetBonds() if bond.GetBondType() == Chem.BondType.DOUBLE
    )
    shape = (tuple(doubly_bound), int(sulfur.GetDegree()), int(sulfur.GetTotalNumHs()))
    match shape:
        case ((), 2, 0):
            return "Type1"
        case (("C",), 1, 0):
            return "Type2"
        case ((), 1, 1):
            return "Type3"
        case (("O",), 3, 0):
            return "Type4"
        case (("O", "O"), 4, 0):
            return "Type5"
        case _:
            raise CandidateError(f"{smiles}: the sulfur atom is in none of the set's five bonding classes")


def _is_divalent(atom: Chem.Atom) -> bool:
    return atom.GetDegree() == 2 and atom.GetTotalValence() == 2 and atom.GetFormalCharge() == 0
