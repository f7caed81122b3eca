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
        ("list.txt", "CCS a\n", "unknown ending '.txt'; give a .smi or a .csv file"),
        ("list.smi", "CCS\0", "this is not a text file"),
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
