"""What escalation costs and gains: CPU seconds a molecule, how far theory is from the networks, and how sure theory itself is.

Molecules of the validation part (neither the networks' training nor the tests), in the order of their files. "Conformers": the
difference of the spectra of two conformers of one molecule, as a shift, a relative change of height, and the rest; and in
units of the error that theory/on_demand.py states.
"""

import os

os.environ["OMP_NUM_THREADS"] = "1"  # before NumPy loads

import argparse
import time
from pathlib import Path

import numpy as np
from rdkit import Chem

from xas_bluesky.candidates import Candidate
from xas_bluesky.edges import find_edge
from xas_bluesky.prediction import Predictor
from xas_bluesky.spectra import Array
from xas_bluesky.structures import embed, read_molecule, split
from xas_bluesky.structures.split import validates
from xas_bluesky.theory import geometry, read_dataset
from xas_bluesky.theory.calculation import compute
from xas_bluesky.theory.on_demand import compute_spectrum, spectrum_of

SETS = {"S K": "sulfur", "O K": "qm9"}
NOTHING = 0.05
"""Edge jumps: below the first peak there is nothing to compare."""


def listed(edge: str, count: int) -> list[Candidate]:
    """Return the first molecules of a set that hold the edge's absorber."""
    dataset = read_dataset(Path("datasets/core_excitations") / f"{SETS[edge]}.parquet")
    holding = np.unique(dataset.site_molecule[dataset.of_element(find_edge(edge).absorber)])
    found = [str(dataset.smiles[row]) for row in holding]
    kept = [smiles for smiles in found if split(smiles) == "train" and validates(Chem.CanonSmiles(smiles))]
    return [Candidate(smiles, smiles) for smiles in kept[:count]]


def relative_l1(one: Array, other: Array) -> float:
    """Return the area between two spectra in that under the second."""
    return float(np.abs(one - other).sum() / np.abs(other).sum())


def conformers(candidate: Candidate, edge: str, energy: Array) -> tuple[float, ...] | None:
    """Say how a second conformer's spectrum is shifted (eV), higher (relative), otherwise different (L1), and in all.

    The last is the root mean square over energies, in standard deviations of the difference that are stated.
    """
    found = find_edge(edge)
    molecule = embed(read_molecule(candidate, found.absorber), candidate.name, 2)
    if molecule.GetNumConformers() < 2:
        return None
    spectra: list[Array] = []
    stated = np.zeros_like(energy)
    for conformer in molecule.GetConformers():
        single = Chem.Mol(molecule, confId=conformer.GetId())
        single.GetConformer().SetPositions(geometry.relax(single))
        computed = spectrum_of("", compute(single, (found.absorber,)).sites, found, energy)
        spectra.append(computed.mean[0])
        stated = np.hypot(stated, computed.std[0])
    one, other = spectra
    terms = np.stack([np.gradient(one, energy), one], axis=1)
    (slope, higher), *_ = np.linalg.lstsq(terms, other - one, rcond=None)
    apart = np.sqrt((((other - one) / stated) ** 2)[one > NOTHING].mean())
    return float(-slope), float(higher), relative_l1(one + terms @ [slope, higher], other), float(apart)


def main() -> None:
    """Print a line a molecule, and what they have in common."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("molecules", type=int, nargs="?", default=5, help="computed and compared with the networks, an edge")
    parser.add_argument("conformers", type=int, nargs="?", default=0, help="computed in two conformers, an edge")
    wanted = parser.parse_args()
    predictor = Predictor.load(device="cpu", cores=1)
    for edge in SETS:
        candidates = listed(edge, max(wanted.molecules, wanted.conformers))
        predicted = predictor.predict(candidates, edge).spectra
        energy = predicted.energy
        print(f"{edge}: CPU seconds, networks from theory in relative L1, as they state it, highest peak and ionization (eV)")
        for row, candidate in enumerate(candidates[: wanted.molecules]):
            start = time.process_time()
            found = compute_spectrum(candidate, edge, energy)
            seconds, theory, network = time.process_time() - start, found.mean[0], predicted.mean[row]
            stated = np.abs(predicted.std[row]).sum() / np.abs(network).sum() * np.sqrt(2 / np.pi)
            peaks = energy[network.argmax()] - energy[theory.argmax()]
            zero = predicted.ionization[row] - found.ionization[0]
            l1 = relative_l1(network, theory)
            print(f"  {seconds:5.1f} {l1:6.3f} {stated:6.3f} {peaks:+5.1f} {zero:+6.2f}  {candidate.name}", flush=True)
        apart = [conformers(candidate, edge, energy) for candidate in candidates[: wanted.conformers]]
        if figures := [one for one in apart if one is not None]:
            print(f"  two conformers of {len(figures)} molecules: {summary(np.array(figures))}")


def summary(figures: Array) -> str:
    """Sum up what `conformers` says (n, 4) of molecules."""
    names = ("shift {:.3f} eV", "height {:.3f}", "left in L1 {:.3f}", "in all {:.2f} of what is stated")
    rms, median = np.sqrt((figures**2).mean(axis=0)), np.median(np.abs(figures), axis=0)
    return "; ".join(
        f"{name.format(size)} rms (median {usual:.3f})" for name, size, usual in zip(names, rms, median, strict=True)
    )


if __name__ == "__main__":
    main()
