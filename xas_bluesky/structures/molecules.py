"""Read a candidate's SMILES into a molecule."""

from rdkit import Chem, rdBase

from xas_bluesky.candidates import Candidate
from xas_bluesky.errors import CandidateError

SPLIT_OXIDE = Chem.MolFromSmarts("[S;+,+2][O-]")


def describe(candidate: Candidate) -> str:
    """Return how messages name a candidate: where it was read, and its name."""
    return f"{candidate.source + ': ' if candidate.source else ''}candidate {candidate.name!r}"


def read_molecule(candidate: Candidate, absorber: str) -> Chem.Mol:
    """Read `candidate` into an RDKit molecule with explicit hydrogens, its heavy atoms in canonical order.

    Canonical order makes the result the same for every way to write one molecule; S⁺–O⁻ counts as a way to write S=O.
    `absorber`: symbol of the element that must be in it. Raises CandidateError for text that is no SMILES, wildcard
    atoms or elements beyond einsteinium, several fragments, or no absorber.
    """
    where = describe(candidate)
    with rdBase.BlockLogs():
        molecule = Chem.MolFromSmiles(candidate.structure)
    if not molecule:
        raise CandidateError(f"{where}: {candidate.structure!r} is not a valid SMILES string; correct or remove it")
    if molecule.GetNumAtoms() == 0:
        raise CandidateError(f"{where}: the SMILES holds no atom; correct or remove it")
    if strange := [atom.GetSymbol() for atom in molecule.GetAtoms() if not 0 < atom.GetAtomicNum() < 100]:
        raise CandidateError(f"{where}: {candidate.structure!r} holds {strange[0]!r}, which no model knows; remove it")
    if len(Chem.GetMolFrags(molecule)) > 1:
        raise CandidateError(f"{where}: {candidate.structure!r} has several fragments; give the one that holds {absorber}")
    if not any(atom.GetSymbol() == absorber for atom in molecule.GetAtoms()):
        raise CandidateError(f"{where}: {candidate.structure!r} holds no {absorber}, the absorber of this edge; remove it")
    _join_split_oxides(molecule)
    canonical = Chem.MolFromSmiles(Chem.MolToSmiles(molecule))
    if not canonical:
        raise CandidateError(f"{where}: {candidate.structure!r} cannot be written back as SMILES; correct or remove it")
    return Chem.AddHs(canonical)


def _join_split_oxides(molecule: Chem.Mol) -> None:
    """Turn S⁺–O⁻, as some databases write sulfoxides, into S=O, as the training set does."""
    for pair in molecule.GetSubstructMatches(SPLIT_OXIDE):
        sulfur, oxygen = (molecule.GetAtomWithIdx(index) for index in pair)
        if sulfur.GetFormalCharge() > 0:
            sulfur.SetFormalCharge(sulfur.GetFormalCharge() - 1)
            oxygen.SetFormalCharge(0)
            molecule.GetBondBetweenAtoms(*pair).SetBondType(Chem.BondType.DOUBLE)
