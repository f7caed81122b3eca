"""Compute the S 1s ionization energies that models/continuum.py holds, as ΔSCF differences.

Usage: pip install pyscf; python benchmarks/ionization_energies.py

Kohn–Sham energies (PBE0, def2-TZVP) of the neutral molecule and of the ion with one 1s electron of the sulfur missing, kept
there by maximum overlap. One constant, from the measured H2S and SO2, puts the differences on the absolute scale.
"""

from pyscf import dft, gto, scf
from rdkit import Chem

from xas_bluesky.candidates import Candidate
from xas_bluesky.structures import embed, read_molecule

HARTREE = 27.211386245988
MEASURED = {"hydrogen sulfide": 2478.5, "sulfur dioxide": 2483.7}
"""Keski-Rahkonen and Krause, J. Electron Spectrosc. Relat. Phenom. 9, 371 (1976), eV."""
MOLECULES = {
    "hydrogen sulfide": "S",
    "methanethiol": "CS",
    "dimethyl sulfide": "CSC",
    "thiophene": "c1ccsc1",
    "thioformaldehyde": "C=S",
    "dimethyl sulfoxide": "CS(C)=O",
    "dimethyl sulfone": "CS(C)(=O)=O",
    "methanesulfonic acid": "CS(=O)(=O)O",
    "sulfur dioxide": "O=S=O",
}


def ionization(molecule: Chem.Mol) -> float:
    """Return the ΔSCF energy (eV) of the S 1s orbital, the deepest of the molecule."""
    atoms = list(zip([a.GetSymbol() for a in molecule.GetAtoms()], molecule.GetConformer().GetPositions(), strict=True))
    neutral = dft.UKS(gto.M(atom=atoms, basis="def2-tzvp", verbose=0), xc="pbe0").density_fit()
    neutral.grids.level = 2
    energy = neutral.kernel()
    occupation = neutral.mo_occ.copy()
    occupation[1][0] = 0
    ion = dft.UKS(gto.M(atom=atoms, basis="def2-tzvp", verbose=0, charge=1, spin=1), xc="pbe0").density_fit()
    ion.grids.level = 2
    ion = scf.addons.mom_occ(ion, neutral.mo_coeff, occupation)
    return (ion.kernel(ion.make_rdm1(neutral.mo_coeff, occupation)) - energy) * HARTREE


def main() -> None:
    """Print each molecule's value, raw and with the constant."""
    found = {name: ionization(embed(read_molecule(Candidate(name, smiles), "S"), name)) for name, smiles in MOLECULES.items()}
    constant = sum(value - found[name] for name, value in MEASURED.items()) / len(MEASURED)
    for name, value in found.items():
        print(f"{name}: {value:.2f} {value + constant:.2f} eV")


if __name__ == "__main__":
    main()
