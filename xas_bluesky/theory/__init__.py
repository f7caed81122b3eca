"""First-principles spectra: core excitations of molecules, their data sets, and spectra made of them.

What needs PySCF, the extra `theory` of the package, is in `calculation` and below it; the rest is read without.
"""

from xas_bluesky.theory.broadening import cross_sections, molecule_means
from xas_bluesky.theory.calibration import ELEMENTS, calibrated, excitation_energies, ionization_energy
from xas_bluesky.theory.dataset import Dataset, Result, concatenate, merge_datasets, read_dataset, write_dataset
from xas_bluesky.theory.relative_spectra import relative_spectra
from xas_bluesky.theory.site_spectra import site_spectra
from xas_bluesky.theory.sticks import ComputedMolecule, Sticks

__all__ = [
    "ELEMENTS",
    "ComputedMolecule",
    "Dataset",
    "Result",
    "Sticks",
    "calibrated",
    "concatenate",
    "cross_sections",
    "excitation_energies",
    "ionization_energy",
    "merge_datasets",
    "molecule_means",
    "read_dataset",
    "relative_spectra",
    "site_spectra",
    "write_dataset",
]
