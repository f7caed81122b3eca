"""Read a candidate's text into a molecule."""

import numpy as np
from rdkit import Chem, rdBase

from xas_bluesky.candidates import Candidate
from xas_bluesky.errors import CandidateError
from xas_bluesky.structures.bonds import find_bonds
from xas_bluesky.structures.graphs import HEAVIEST

SPLIT_OXIDE = Chem.MolFromSmarts("[S;+,+2][O-]")
NAMES = {"smiles": "SMILES", "mol": "mol block", "xyz": "xyz block", "cif": "CIF", "poscar": "POSCAR"}
TETRAHEDRAL = (Chem.ChiralType.CHI_TETRAHEDRAL_CW, Chem.ChiralType.CHI_TETRAHEDRAL_CCW)
CLOSEST = 0.4
"""Å, less than any bond: atoms closer than this are a mistake in the positions."""


def describe(candidate: Candidate) -> str:
    """Return how messages name a candidate: where it was read, and its name."""
    return f"{candidate.source + ': ' if candidate.source else ''}candidate {candidate.name!r}"


def read_molecule(candidate: Candidate, *absorbers: str) -> Chem.Mol:
    """Read `candidate` into an RDKit molecule with explicit hydrogens.

    Positions that are given in three dimensions become its conformer, and its atoms keep their order; bonds that an xyz
    block does not name are found from the positions, for a neutral molecule. Otherwise there is no conformer and heavy
    atoms come in canonical order, which makes the result the same for every way to write one molecule. S⁺–O⁻ counts as a
    way to write S=O. `absorbers`: symbols of the elements one of which must be in it. Raises CandidateError for text that
    cannot be read, wildcard atoms or elements beyond einsteinium, several fragments, no absorber, or positions that lack
    hydrogens or coincide.
    """
    where, what = describe(candidate), repr(candidate.structure) if candidate.format == "smiles" else "it"
    if candidate.format in ("cif", "poscar"):
        raise CandidateError(
            f"{where}: a {NAMES[candidate.format]} holds a crystal, not a molecule; give SMILES, a mol block or an xyz block"
        )
    molecule = parse_molecule(candidate)
    if molecule.GetNumAtoms() == 0:
        raise CandidateError(f"{where}: the {NAMES[candidate.format]} holds no atom; correct or remove it")
    if strange := [atom.GetSymbol() for atom in molecule.GetAtoms() if not 0 < atom.GetAtomicNum() <= HEAVIEST]:
        raise CandidateError(f"{where}: {what} holds {strange[0]!r}, which no model knows; remove it")
    wanted = " or ".join(absorbers)
    if len(Chem.GetMolFrags(molecule)) > 1:
        raise CandidateError(f"{where}: {what} has several fragments; give the one that holds {wanted}")
    if not any(atom.GetSymbol() in absorbers for atom in molecule.GetAtoms()):
        role = "the absorber of this edge" if len(absorbers) == 1 else "the absorbers of these edges"
        raise CandidateError(f"{where}: {what} holds no {wanted}, {role}; remove it")
    if molecule.GetNumConformers() and molecule.GetConformer().Is3D():
        return _with_positions(molecule, where)
    canonical = Chem.MolFromSmiles(Chem.MolToSmiles(molecule))
    if not canonical:
        raise CandidateError(f"{where}: {what} cannot be written back as SMILES; correct or remove it")
    return Chem.AddHs(canonical)


def parse_molecule(candidate: Candidate) -> Chem.Mol:
    """Read the text of a molecule, S⁺–O⁻ as S=O; raises CandidateError for text that cannot be read."""
    where, text = describe(candidate), candidate.structure
    with rdBase.BlockLogs():
        if candidate.format == "smiles":
            molecule, problem = Chem.MolFromSmiles(text), f"{text!r} is not a valid SMILES string"
        elif candidate.format == "mol":
            molecule, problem = Chem.MolFromMolBlock(text, removeHs=False), "it is not a valid mol block"
        else:
            molecule, problem = Chem.MolFromXYZBlock(text), "it is not a valid xyz block"
            if molecule:
                molecule, problem = (
                    find_bonds(molecule),
                    "no bonds of a neutral molecule with all its hydrogens fit its positions",
                )
    if not molecule:
        raise CandidateError(f"{where}: {problem}; correct or remove it")
    _join_split_oxides(molecule)
    return molecule


def _with_positions(molecule: Chem.Mol, where: str) -> Chem.Mol:
    if bare := [atom for atom in molecule.GetAtoms() if atom.GetTotalNumHs()]:
        atom = f"{bare[0].GetSymbol()}{bare[0].GetIdx() + 1}"
        raise CandidateError(f"{where}: {atom} lacks hydrogens; give positions for them too, or none at all")
    distances = Chem.Get3DDistanceMatrix(molecule) + np.diag(np.full(molecule.GetNumAtoms(), np.inf))
    if distances.min() < CLOSEST:
        one, other = (int(at) + 1 for at in np.unravel_index(distances.argmin(), distances.shape))
        raise CandidateError(f"{where}: atoms {one} and {other} are {distances.min():.2f} Å apart; correct the positions")
    with rdBase.BlockLogs():
        if Chem.SanitizeMol(molecule, catchErrors=True) != Chem.SanitizeFlags.SANITIZE_NONE:
            raise CandidateError(f"{where}: its bonds and charges do not fit each other; correct or remove it")
    Chem.AssignStereochemistryFrom3D(molecule)
    for atom in molecule.GetAtoms():
        if atom.GetChiralTag() not in TETRAHEDRAL:  # marks that RDKit sets on SF6, chiral or not, and cannot make canonical
            atom.SetChiralTag(Chem.ChiralType.CHI_UNSPECIFIED)
    return molecule


def _join_split_oxides(molecule: Chem.Mol) -> None:
    """Turn S⁺–O⁻, as some databases write sulfoxides, into S=O, as the training set does."""
    for pair in molecule.GetSubstructMatches(SPLIT_OXIDE):
        sulfur, oxygen = (molecule.GetAtomWithIdx(index) for index in pair)
        if sulfur.GetFormalCharge() > 0:
            sulfur.SetFormalCharge(sulfur.GetFormalCharge() - 1)
            oxygen.SetFormalCharge(0)
            molecule.GetBondBetweenAtoms(*pair).SetBondType(Chem.BondType.DOUBLE)
