import csv
import hashlib
import shutil
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from rdkit import Chem

from xas_bluesky.edges import find_edge
from xas_bluesky.errors import SettingsError
from xas_bluesky.models.continuum import faded, ionization_energy
from xas_bluesky.structures.split import split
from xas_bluesky.theory.broadening import MEGABARN_EV
from xas_bluesky.training.dataset import (
    GRID,
    Example,
    broaden,
    data_folder,
    hash_data,
    load_sulfur_set,
    spectra_of,
)


def residue(smiles: str) -> int:
    return int(hashlib.sha256(("xas" + Chem.CanonSmiles(smiles)).encode()).hexdigest(), 16) % 100


def test_the_area_is_the_summed_strength_on_the_absolute_scale():
    grid = np.arange(1470.0, 3470.0, 0.05)
    spectrum = broaden(np.array([2470.0, 2473.0, 2480.5]), np.array([0.01, 0.02, 0.005]), grid)
    jump = find_edge("S K").jump
    assert spectrum.sum() * 0.05 == pytest.approx(109.76 / jump * 0.035, rel=1e-3)


def test_the_scale_is_that_of_the_thomas_reiche_kuhn_sum_rule():
    radius, planck, light = 2.8179403e-15, 4.1356677e-15, 2.99792458e8  # m, eV s, m/s
    assert pytest.approx(np.pi * radius * planck * light * 1e22, rel=1e-4) == MEGABARN_EV


def test_a_single_stick_is_a_voigt_line_at_its_energy():
    grid = np.arange(2465.0, 2475.0, 0.001)
    line = broaden(np.array([2470.0]), np.array([0.01]), grid)
    half = grid[line > line.max() / 2]
    assert grid[line.argmax()] == pytest.approx(2470.0, abs=2e-3)
    assert half[-1] - half[0] == pytest.approx(0.5346 * 0.59 + np.sqrt(0.2166 * 0.59**2 + 1.0), rel=0.01)


def test_no_blind_molecule_is_among_the_examples(examples: list[Example], rows: list[dict[str, str]]):
    names = {example.name for example in examples}
    blind = [row["name"] for row in rows if row["smiles"] and residue(row["smiles"]) < 10]
    assert len(blind) > 50
    assert names.isdisjoint(blind)
    assert all(residue(example.smiles) >= 10 for example in examples)


def test_the_parts_do_not_mix(examples: list[Example], rows: list[dict[str, str]]):
    authors = {row["name"] for row in rows if row["type"] == "TEST"}
    for example in examples:
        if example.name in authors:
            assert example.part == "TEST"
        else:
            assert example.part == ("test" if residue(example.smiles) < 20 else "train")
    counts = Counter(example.part for example in examples)
    assert (counts["train"] > 500, counts["test"] > 50, counts["TEST"] > 40) == (True, True, True)
    parts: dict[str, set[str]] = {}
    for example in examples:
        parts.setdefault(Chem.CanonSmiles(example.smiles), set()).add(example.part)
    assert all(len(found) == 1 for found in parts.values())


def test_the_spectra_of_the_set_are_peaks_on_the_grid(examples: list[Example]):
    spectra = spectra_of(examples)
    assert spectra.shape == (len(examples), len(GRID))
    assert np.isfinite(spectra).all()
    assert spectra.min() >= 0
    assert 0.5 < spectra.max(axis=1).min() < spectra.max(axis=1).max() < 15
    assert spectra[:, 0].max() < 0.1  # nothing is cut off below the first peak


def test_a_spectrum_is_that_of_its_own_sticks_from_the_ionization_energy(tiny: Path):
    with (tiny / "molecules.csv").open(newline="") as lines:
        names = [row["name"] for row in csv.DictReader(lines)]
    with np.load(tiny / "sticks.npz") as sticks:
        ends = np.cumsum(sticks["n_sticks"])
        energies = np.split(sticks["energy"].astype(np.float64) + sticks["energy_offset"] + 53.3, ends[:-1])
        strengths = np.split(sticks["strength"], ends[:-1])
    for example in load_sulfur_set(tiny):
        place = names.index(example.name)
        relative = energies[place] - ionization_energy(example.graph.environments[0], "S K")
        assert np.allclose(example.spectrum, faded(broaden(relative, strengths[place], GRID), GRID))


def test_a_small_set_is_embedded(tiny: Path, capsys: pytest.CaptureFixture[str]):
    examples = load_sulfur_set(tiny)
    assert Counter(example.part for example in examples) == {"train": 16, "test": 3, "TEST": 3}
    for example in examples:
        assert example.graph.numbers[example.graph.absorbers].tolist() == [16]
        assert split(example.smiles) != "blind"
    assert capsys.readouterr().out == ""  # stdout is for the answer alone


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def drop_last_row(folder: Path) -> None:
    lines = (folder / "molecules.csv").read_text().splitlines()
    (folder / "molecules.csv").write_text("\n".join(lines[:-1]) + "\n")


BREAKAGES: dict[str, tuple[Callable[[Path], object], str]] = {
    "no folder": (shutil.rmtree, "cannot be read"),
    "no sticks": (lambda folder: (folder / "sticks.npz").unlink(), "cannot be read"),
    "sticks cut": (lambda folder: cut(folder / "sticks.npz"), "cannot be read"),
    "sticks pickled": (lambda folder: (folder / "sticks.npz").write_bytes(b"\x80\x04]."), "cannot be read"),
    "foreign sticks": (lambda folder: np.savez(folder / "sticks.npz", other=np.zeros(3)), "cannot be read"),
    "foreign columns": (lambda folder: (folder / "molecules.csv").write_text("a,b\n1,2\n"), "cannot be read"),
    "a row less": (drop_last_row, "24 molecules but 25 sets of sticks; use files made together"),
}


@pytest.mark.parametrize("breakage", BREAKAGES)
def test_a_broken_set_is_refused(tiny: Path, breakage: str):
    change, message = BREAKAGES[breakage]
    change(tiny)
    with pytest.raises(SettingsError, match=f"data: .*{message}"):
        load_sulfur_set(tiny)


def test_the_hash_follows_the_files(tiny: Path):
    first = hash_data(tiny)
    drop_last_row(tiny)
    assert len(first) == 16
    assert hash_data(tiny) != first


def test_the_shipped_folder(shipped: Path):
    assert data_folder() == shipped
