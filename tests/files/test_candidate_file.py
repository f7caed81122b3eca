from pathlib import Path

import pytest

from xas_bluesky.candidates import Candidate
from xas_bluesky.errors import CandidateError
from xas_bluesky.files import read_candidates


def write(path: Path, text: str) -> Path:
    path.write_text(text)
    return path


def test_smi(tmp_path: Path) -> None:
    path = write(tmp_path / "list.smi", "# thiols\n\nCCS ethanethiol\nN#CCS\nCS(=O)(=O)C\tdimethyl sulfone \n")
    assert read_candidates(path) == (
        Candidate("ethanethiol", "CCS", f"{path}:3"),
        Candidate("N#CCS", "N#CCS", f"{path}:4"),
        Candidate("dimethyl sulfone", "CS(=O)(=O)C", f"{path}:5"),
    )


def test_csv_columns_in_any_order(tmp_path: Path) -> None:
    path = write(tmp_path / "list.CSV", '\ufeff# thiols\nSMILES, Class, Name\n\nCCS,thiol,ethanethiol\nCSC, -, "S, the one"\n')
    assert read_candidates(path) == (
        Candidate("ethanethiol", "CCS", f"{path}:4"),
        Candidate("S, the one", "CSC", f"{path}:5"),
    )


MOL = "water\n  made by hand\n\n  1  0  0  0  0  0            999 V2000\n    0.0000    0.0000    0.0000 O   0  0\nM  END\n"
XYZ = "3\nwater\nO 0 0 0\nH 0 0.757 0.587\nH 0 -0.757 0.587\n"


def test_sdf(tmp_path: Path) -> None:
    nameless = MOL.replace("water", "")
    text = MOL + "> <energy>\n-76.4\n\n$$$$\n" + nameless + "$$$$\n\n"
    path = write(tmp_path / "list.sdf", text)
    assert read_candidates(path) == (
        Candidate("water", MOL, f"{path}:1", "mol"),
        Candidate("list:2", nameless, f"{path}:11", "mol"),
    )
    assert read_candidates(write(tmp_path / "one.sdf", nameless))[0].name == "one"


def test_xyz(tmp_path: Path) -> None:
    extended = '1\nProperties=species:S:1:pos:R:3:forces:R:3 pbc="F F F"\nne 0.5 0 -1e-3 0.1 0.2 0.3\n'
    path = write(tmp_path / "list.xyz", XYZ + "\n" + extended)
    assert read_candidates(path) == (
        Candidate("water", XYZ, f"{path}:1", "xyz"),
        Candidate("list:2", "1\n\nNe 0.5 0 -1e-3\n", f"{path}:7", "xyz"),
    )
    assert read_candidates(write(tmp_path / "one.xyz", XYZ.replace("water", "")))[0].name == "one"


CIF = "data_CuO\n_cell_length_a 4.68\nloop_\n_atom_site_label\n_atom_site_fract_x\nCu1 0.25\n"
POSCAR = "Cu4 O4\n1.0\n4 0 0\n0 4 0\n0 0 4\nCu\n1\nDirect\n0 0 0\n"


def test_cif(tmp_path: Path) -> None:
    text = CIF.replace("\nloop_", "\n_title\n;\ndata_of 1970\n;\nloop_")
    nameless = CIF.replace("data_CuO", "DATA_").replace("_atom_site", "_Atom_Site")
    path = write(tmp_path / "list.cif", "# by hand\ndata_global\n_title none\n" + text + "\n" + nameless)
    assert read_candidates(path) == (
        Candidate("CuO", text + "\n", f"{path}:4", "cif"),
        Candidate("list:2", nameless, f"{path}:15", "cif"),
    )
    assert read_candidates(write(tmp_path / "one.CIF", nameless))[0].name == "one"


@pytest.mark.parametrize(
    ("file", "name"),
    [
        ("tenorite.vasp", "tenorite"),
        ("tenorite.POSCAR", "tenorite"),
        ("POSCAR_tenorite", "POSCAR_tenorite"),
        ("CONTCAR.1", "Cu4 O4"),
        ("POSCAR", "Cu4 O4"),
        ("poscar.vasp", "Cu4 O4"),
    ],
)
def test_poscar(tmp_path: Path, file: str, name: str) -> None:
    path = write(tmp_path / file, POSCAR)
    assert read_candidates(path) == (Candidate(name, POSCAR, f"{path}:1", "poscar"),)


def test_a_poscar_without_a_title_is_called_after_its_file(tmp_path: Path) -> None:
    path = write(tmp_path / "CONTCAR", POSCAR.replace("Cu4 O4", " "))
    assert read_candidates(path)[0].name == "CONTCAR"


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("list.smi", "CCS a\n\nCSC a\n", ":3: the name 'a' is taken already .*list.smi:1"),
        ("list.smi", "# nothing\n", "the file names no candidate"),
        ("list.csv", "", "the file names no candidate"),
        ("list.csv", "name,smiles\n", "the file names no candidate"),
        (
            "list.csv",
            "name,structure\na,CCS\n",
            ":1: the header reads name, structure; it needs the columns name and smiles",
        ),
        ("list.csv", "name,smiles\na,CCS\nb\n", ":3: 1 cells under 2 columns"),
        ("list.csv", "name,smiles\na,CCS\n,CSC\n", ":3: the name is empty"),
        ("list.txt", "CCS a\n", "unknown ending '.txt'; give a .smi, .csv, .sdf, .xyz, .cif, .poscar or .vasp file"),
        ("list.cif", "", r"no data block \(data_…\) with atom sites \(_atom_site_…\) is in it; complete the CIF"),
        ("list.cif", "data_a\n_cell_length_a 3\n", "no data block"),
        ("list.cif", CIF + CIF, ":7: the name 'CuO' is taken already .*list.cif:1"),
        ("POSCAR", "\n \n", "the file names no candidate"),
        ("list.smi", "CCS\0", "this is not a text file"),
        ("list.sdf", "", "the file names no candidate"),
        ("list.sdf", MOL + "$$$$\n" + MOL, ":8: the name 'water' is taken already .*list.sdf:1"),
        ("list.xyz", "\n\n", "the file names no candidate"),
        ("list.xyz", "water\n3\n", ":1: expected the number of atoms of a frame, got 'water'; correct"),
        ("list.xyz", XYZ + "0\n\n", ":6: expected the number of atoms of a frame, got '0'"),
        ("list.xyz", XYZ + "4\n\nH 0 0 0\n", ":6: 4 atoms are announced, 1 follow; complete"),
        ("list.xyz", "2\n\nO 0 0\nH 0 0 1\n", ":3: expected an element and x, y, z in Å, got 'O 0 0'; correct the atom"),
        ("list.xyz", "1\n\nO 0 0 nan\n", ":3: expected an element and x, y, z in Å"),
        ("list.xyz", "1\n\n8 0 0 0\n", ":3: expected an element and x, y, z in Å"),
        ("list.xyz", "1\n\n\n", ":3: expected an element and x, y, z in Å, got ''"),
    ],
)
def test_bad_lists_are_refused_by_file_and_line(tmp_path: Path, name: str, text: str, message: str) -> None:
    path = write(tmp_path / name, text)
    with pytest.raises(CandidateError, match=message) as refused:
        read_candidates(path)
    assert str(refused.value).startswith(str(path))


def test_a_missing_list_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CandidateError, match="cannot be read"):
        read_candidates(tmp_path / "missing.smi")
