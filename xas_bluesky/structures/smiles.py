"""SMILES text, where no candidate stands behind it."""

from rdkit import Chem, rdBase

from xas_bluesky.errors import CandidateError


def parse_smiles(smiles: str) -> Chem.Mol:
    """Read a SMILES into a molecule with implicit hydrogens; raises CandidateError when it does not parse or is empty."""
    with rdBase.BlockLogs():
        molecule = Chem.MolFromSmiles(smiles)
    if not molecule or molecule.GetNumAtoms() == 0:
        raise CandidateError(f"SMILES {smiles!r}: cannot be read; correct it")
    return molecule


def same_molecule_key(smiles: str) -> str:
    """Return canonical SMILES without stereochemistry: equal for molecules that a K-edge cannot tell apart."""
    return Chem.MolToSmiles(parse_smiles(smiles), isomericSmiles=False)
