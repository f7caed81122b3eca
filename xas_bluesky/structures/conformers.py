"""Give a molecule a three-dimensional geometry."""

from rdkit import Chem, rdBase
from rdkit.Chem import rdDistGeom, rdForceFieldHelpers

from xas_bluesky.errors import CandidateError

SEED = 7
FORCE_FIELD_STEPS = 1000


def embed(molecule: Chem.Mol, where: str) -> Chem.Mol:
    """Add one conformer to a copy of `molecule`: ETKDGv3, relaxed by MMFF94s, or by UFF where MMFF has no parameters.

    The seed is fixed, so that a prediction's geometry is made by the very procedure of the training geometries. Raises
    CandidateError, which says `where`, when there is no conformer.
    """
    molecule = Chem.Mol(molecule)
    with rdBase.BlockLogs():
        found = _place_atoms(molecule)
        if found:
            _relax(molecule)
    if not found:
        raise CandidateError(f"{where}: no three-dimensional geometry was found; check rings and stereo marks of its SMILES")
    return molecule


def _place_atoms(molecule: Chem.Mol) -> bool:
    parameters = rdDistGeom.ETKDGv3()
    parameters.randomSeed = SEED
    if rdDistGeom.EmbedMolecule(molecule, parameters) == 0:
        return True
    parameters.useRandomCoords = True
    return rdDistGeom.EmbedMolecule(molecule, parameters) == 0


def _relax(molecule: Chem.Mol) -> None:
    if rdForceFieldHelpers.MMFFHasAllMoleculeParams(molecule):
        relaxed = Chem.Mol(molecule)  # MMFF writes its own aromaticity onto what it relaxes
        rdForceFieldHelpers.MMFFOptimizeMolecule(relaxed, mmffVariant="MMFF94s", maxIters=FORCE_FIELD_STEPS)
        molecule.GetConformer().SetPositions(relaxed.GetConformer().GetPositions())
    elif rdForceFieldHelpers.UFFHasAllMoleculeParams(molecule):
        rdForceFieldHelpers.UFFOptimizeMolecule(molecule, maxIters=FORCE_FIELD_STEPS)
