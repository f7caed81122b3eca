import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from rdkit import Chem

from xas_bluesky.errors import SettingsError
from xas_bluesky.training.sulfur_set import authors_test, data_folder, read_compounds


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
    "a row less": (drop_last_row, "769 molecules but 770 sets of sticks; use files made together"),
}


@pytest.mark.parametrize("breakage", BREAKAGES)
def test_a_broken_set_is_refused(shipped: Path, tmp_path: Path, breakage: str):
    shutil.copytree(shipped, tmp_path / "data")
    change, message = BREAKAGES[breakage]
    change(tmp_path / "data")
    with pytest.raises(SettingsError, match=f"data: .*{message}"):
        read_compounds(tmp_path / "data")


def test_each_compound_comes_with_its_sticks(shipped: Path, rows: list[dict[str, str]]):
    found = read_compounds(shipped)
    assert [row["name"] for row, _, _ in found] == [row["name"] for row in rows]
    for _, energy, strength in found:
        assert len(energy) == len(strength) > 0
        assert 2460 < energy.min() < 2485


def test_the_molecules_kept_apart_are_those_of_type_test(rows: list[dict[str, str]]):
    named = {Chem.CanonSmiles(row["smiles"]) for row in rows if row["type"] == "TEST" and row["smiles"]}
    assert authors_test() == named
    assert len(named) > 50


def test_the_shipped_folder(shipped: Path):
    assert data_folder() == shipped
