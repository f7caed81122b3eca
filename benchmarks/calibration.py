"""Fit the constants of theory/calibration.py to measured 1s energies, and say how well they hold.

Gas-phase values (data/gas_phase, with their sources) for C, N, O, F, P and the ionization of S; the white lines of measured
sulfur compounds (data/measured) for the excitations of S. One constant per element and quantity: the median of measured
minus computed. Values that were checked in a text, and those written from memory, are shown apart and together ("all"):
where both exist for an excitation, they agree within 0.09 eV on average, so the constants of C, N and O rest on all of them.
Molecules of the blind test (structures.split) are left out, diphenyl sulfoxide among them; those of our own test part are
not fitted to.
"""

import csv
import sys
import warnings
from concurrent.futures import ProcessPoolExecutor
from importlib.resources import files

import numpy as np
from rdkit import Chem

from xas_bluesky.errors import XASError
from xas_bluesky.files import read_spectrum
from xas_bluesky.structures import split
from xas_bluesky.theory.calculation import compute
from xas_bluesky.theory.calibration import CONSTANTS, excitation_energies, ionization_energy
from xas_bluesky.theory.sticks import Sticks

DATA = files("xas_bluesky") / "data"
MEASURED = {
    "cysteine": "SCC(N)C(=O)O",
    "dodecanethiol": "CCCCCCCCCCCCS",
    "methionine_sulfone": "CS(=O)(=O)CCC(N)C(=O)O",
}
WHITE_LINES = (2468.0, 2490.0)
INSTRUMENT, CORE_HOLE = 1.0, 0.59  # full widths at half maximum, eV


def sites_of(smiles: str, elements: tuple[str, ...]) -> dict[int, Sticks] | str:
    """Compute the sites by atom of the SMILES as written, or say why not."""
    try:
        return {site.atom: site for site in compute(Chem.AddHs(Chem.MolFromSmiles(smiles)), elements).sites}
    except XASError as error:
        return str(error)


def feature(site: Sticks, kind: str) -> float:
    """Find the transition of a kind (see data/gas_phase/README.md): from f > 2e-4 on a root counts, from 2e-3 it is bright."""
    energy, strength = excitation_energies(site), site.strength
    seen, bright = strength > 2e-4, strength > 2e-3
    if kind == "pi":
        return energy[bright][0]
    if kind == "s":
        return energy[seen][0]
    if kind == "p":
        return energy[bright & (energy > energy[seen][0] + 0.5)][0]
    above = energy[seen & (energy > energy[bright][0] + 1)]
    return above[0] if kind == "s2" else energy[(strength > 5e-5) & (energy > above[0] + 0.4)][0]


def white_line(energy: np.ndarray, mu: np.ndarray) -> float:
    """Locate the highest point by a parabola through it and its neighbours."""
    peak = int(np.argmax(mu))
    near = slice(peak - 2, peak + 3)
    curvature, slope, _ = np.polyfit(energy[near] - energy[peak], mu[near], 2)
    return energy[peak] - slope / 2 / curvature


def computed_white_line(site: Sticks) -> float:
    """Locate the highest point of the bound states' spectrum, as broad as the measured ones."""
    from scipy.special import voigt_profile

    energy = excitation_energies(site)
    bound = energy < ionization_energy(site)
    grid = np.arange(energy[0] - 3, energy[0] + 8, 0.02)
    lines = voigt_profile(grid[:, None] - energy[bound], INSTRUMENT / 2.3548, CORE_HOLE / 2)
    return white_line(grid, lines @ site.strength[bound])


def differences() -> dict[tuple[str, str, str], list[tuple[float, str]]]:
    """Return measured minus computed with today's constants, by element, quantity and source."""
    with (DATA / "gas_phase" / "references.csv").open() as file:
        rows = [row for row in csv.DictReader(file) if split(row["smiles"]) != "blind"]
    molecules = sorted({row["smiles"] for row in rows} | set(MEASURED.values()))
    with ProcessPoolExecutor(int(sys.argv[1]) if len(sys.argv) > 1 else None) as pool:
        computed = dict(zip(molecules, pool.map(sites_of, molecules, [tuple(CONSTANTS)] * len(molecules)), strict=True))
    found: dict[tuple[str, str, str], list[tuple[float, str]]] = {}
    for row in rows:
        sites = computed[row["smiles"]]
        if isinstance(sites, str):
            print(f"{row['molecule']}: {sites}")
            continue
        site = sites[int(row["atom"])]
        ionized = row["quantity"] == "ionization"
        value = ionization_energy(site) if ionized else feature(site, row["quantity"])
        pair = float(row["value_eV"]) - value, f"{row['molecule']} {row['quantity']}"
        known = "checked" if row["checked"] == "yes" else "from memory"
        for source in ("all", known) if split(row["smiles"]) == "train" else ("test",):
            found.setdefault((row["element"], "ionization" if ionized else "excitation", source), []).append(pair)
    for name, smiles in MEASURED.items():
        spectrum = read_spectrum(DATA / "measured" / f"{name}.csv")
        near = (spectrum.energy > WHITE_LINES[0]) & (spectrum.energy < WHITE_LINES[1])
        (site,) = (site for site in computed[smiles].values() if site.element == "S")
        shift = white_line(spectrum.energy[near], spectrum.channels["mu"][near]) - computed_white_line(site)
        found.setdefault(("S", "excitation", "spectra"), []).append((shift, name))
    return found


def main() -> None:
    """Print the constants that fit, and what remains."""
    warnings.simplefilter("ignore")
    print("element quantity    source        n  constant    rms    max  (largest)")
    for (element, quantity, source), pairs in sorted(differences().items()):
        shifts = np.array([shift for shift, _ in pairs])
        shift = 0 if source == "test" else np.median(shifts)  # with the constants as they are
        rest = shifts - shift
        worst = pairs[int(np.argmax(np.abs(rest)))][1]
        constant = getattr(CONSTANTS[element], quantity) + shift
        spread, largest = np.sqrt(np.mean(rest**2)), np.abs(rest).max()
        print(f"{element:7} {quantity:11} {source:12} {len(rest):3} {constant:9.2f} {spread:6.2f} {largest:6.2f}  {worst}")


if __name__ == "__main__":
    main()
