"""Draw the measured sulfur spectra and the computed ones, as they come: no scale, shift or broadening is fitted.

Usage: python benchmarks/measured_and_computed.py [PICTURE]
"""

import sys
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from calibration import DATA, INSTRUMENT, MEASURED
from rdkit import Chem

from xas_bluesky.edges import find_edge
from xas_bluesky.files import read_spectrum
from xas_bluesky.reduction import absorption, normalize
from xas_bluesky.theory import Result, site_spectra
from xas_bluesky.theory.calculation import compute
from xas_bluesky.theory.dataset import dataset_of

GRID = np.arange(2465.0, 2515.0, 0.1)


def main(picture: Path) -> None:
    """Write the picture."""
    found = [compute(Chem.AddHs(Chem.MolFromSmiles(smiles)), ("S",)) for smiles in MEASURED.values()]
    dataset = dataset_of([Result(name, one.smiles, one, None) for name, one in zip(MEASURED, found, strict=True)], {})
    _, spectra = site_spectra(dataset, "S K", GRID, gaussian=INSTRUMENT)
    figure, panels = plt.subplots(1, 3, figsize=(12, 3.6), sharex=True, layout="constrained")
    for axes, name, computed in zip(panels, MEASURED, spectra, strict=True):
        measured = normalize(absorption(read_spectrum(DATA / "measured" / f"{name}.csv")))
        axes.plot(measured.energy, measured.norm, label="measured")
        axes.plot(GRID, computed / find_edge("S K").jump, label="computed")
        axes.set(title=name.replace("_", " "), xlim=(GRID[0], GRID[-1]), ylim=(-0.2, None))
    panels[0].legend()
    figure.supxlabel("energy / eV")
    figure.supylabel("absorption / edge step")
    figure.savefig(picture, dpi=80)


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "measured_and_computed.png"))
