"""Geometries good enough for K-edge energies: relaxed by GFN2-xTB.

First peaks of geometries left at a force field's minimum lie up to 0.3 eV off.
"""

from typing import Any

from ase import Atoms
from ase.optimize import LBFGS
from rdkit import Chem
from tblite.ase import TBLite

from xas_bluesky.errors import CalculationError
from xas_bluesky.spectra import Array
from xas_bluesky.structures.bonds import broken_bond

METHOD = "GFN2-xTB"
LARGEST_FORCE = 0.05
"""eV/Å, where the relaxation stops."""
MOST_STEPS = 500


def relax(molecule: Chem.Mol) -> Array:
    """Return the positions (n, 3), Å, to which the molecule's conformer relaxes in GFN2-xTB (doi:10.1021/acs.jctc.8b01176).

    Raises CalculationError when it does not come to rest, or when a bond of the molecule has broken on the way.
    """
    atoms = Atoms([atom.GetAtomicNum() for atom in molecule.GetAtoms()], molecule.GetConformer().GetPositions())
    atoms.calc = TBLite(method=METHOD, verbosity=0)
    log: Any = None
    if not LBFGS(atoms, logfile=log).run(fmax=LARGEST_FORCE, steps=MOST_STEPS):
        raise CalculationError(f"the geometry did not come to rest in {MOST_STEPS} steps of {METHOD}")
    if broken := broken_bond(molecule, atoms.positions):
        raise CalculationError(f"the bond {broken} broke while the geometry relaxed")
    return atoms.positions
