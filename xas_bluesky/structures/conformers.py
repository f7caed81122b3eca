"""Give a molecule three-dimensional geometries."""

from rdkit import Chem, rdBase
from rdkit.Chem import rdDistGeom, rdForceFieldHelpers

from xas_bluesky.errors import CandidateError

SEED = 7
FORCE_FIELD_STEPS = 1000


def embed(molecule: Chem.Mol, where: str, count: int = 1) -> Chem.Mol:
    """Add `count` conformers to a copy of `molecule`: ETKDGv3, relaxed by MMFF94s, or by UFF where MMFF has no parameters.

    The seed is fixed, so that a prediction's geometry is made by the very procedure of the training geometries. Raises
    CandidateError, which says `where`, when there is no conformer.
    """
    molecule = Chem.Mol(molecule)
    with rdBase.BlockLogs():
        found = _place_atoms(molecule, count)
        if found:
            _relax(molecule)
    if not found:
        raise CandidateError(f"{where}: no three-dimensional geometry was found; check rings and stereo marks of its SMILES")
    return molecule


def _place_atoms(molecule: Chem.Mol, count: int) -> bool:
    parameters = rdDistGeom.ETKDGv3()
    parameters.randomSeed = SEED
    if len(rdDistGeom.EmbedMultipleConfs(molecule, count, parameters)):
        return True
    parameters.useRandomCoords = True
    return bool(len(rdDistGeom.EmbedMultipleConfs(molecule, count, parameters)))


def _relax(molecule: Chem.Mol) -> None:
    if rdForceFieldHelpers.MMFFHasAllMoleculeParams(molecule):
        relaxed = Chem.Mol(molecule)  # MMFF writes its own aromaticity onto what it relaxes
        rdForceFieldHelpers.MMFFOptimizeMoleculeConfs(relaxed, mmffVariant="MMFF94s", maxIters=FORCE_FIELD_STEPS)
        for conformer in molecule.GetConformers():
            conformer.SetPositions(relaxed.GetConformer(conformer.GetId()).GetPositions())
    elif rdForceFieldHelpers.UFFHasAllMoleculeParams(molecule):
        rdForceFieldHelpers.UFFOptimizeMoleculeConfs(molecule, maxIters=FORCE_FIELD_STEPS)
