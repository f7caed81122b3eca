"""Say what a candidate is, however it was written: its InChIKey and its formula."""

from collections.abc import Sequence

from rdkit import Chem, rdBase
from rdkit.Chem.rdMolDescriptors import CalcMolFormula

from xas_bluesky.candidates import Candidate
from xas_bluesky.structures.building import CRYSTALS
from xas_bluesky.structures.crystals import crystal_formula
from xas_bluesky.structures.molecules import parse_molecule

Identity = tuple[str, str]
"""InChIKey, empty where there is none, and formula in Hill's order: carbon, hydrogen, then by the alphabet."""


def identify(candidates: Sequence[Candidate]) -> list[Identity]:
    """Identify candidates that can be read, in order.

    The formula of a molecule counts its atoms and names its charge, as in C2H3O2-; that of a crystal is reduced to the
    smallest whole numbers. Raises CandidateError for what cannot be read.
    """
    return [("", crystal_formula(one)) if one.format in CRYSTALS else _of_molecule(one) for one in candidates]


def _of_molecule(candidate: Candidate) -> Identity:
    molecule = parse_molecule(candidate)
    with rdBase.BlockLogs():
        return Chem.MolToInchiKey(molecule), CalcMolFormula(molecule)
