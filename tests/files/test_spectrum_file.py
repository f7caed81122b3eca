from importlib.resources import as_file, files
from pathlib import Path

import numpy as np
import pytest

import xas_bluesky.files
from xas_bluesky.errors import SpectrumError
from xas_bluesky.files import read_spectrum

ENERGY = 2460.0 + np.arange(20.0)
I0 = np.full(20, 5000.0)
ITRANS = 4000.0 - np.arange(20.0)
XDI_HEADER = """# XDI/1.0 test
# Column.1: energy {unit}
# Column.2: i0
# Column.3: {signal} counts || IOC:scaler1.S3
# Column.4: {last}
# Element.symbol: S
# Element.edge: K
# Sample.name: calcium sulfide
# ///
# measured, with a comma
#----
# energy i0 signal mutrans
"""


def write(path: Path, header: str, *columns: np.ndarray, delimiter: str = " ", fmt: str = "%.6f") -> Path:
    np.savetxt(path, np.column_stack(columns), fmt=fmt, delimiter=delimiter, header=header, comments="")
    return path


def xdi(path: Path, energy: np.ndarray = ENERGY, unit: str = "eV", signal: str = "itrans", last: str = "mutrans") -> Path:
    header = XDI_HEADER.format(unit=unit, signal=signal, last=last).rstrip("\n")
    return write(path / "scan.xdi", header, energy, I0, ITRANS, np.log(I0 / ITRANS))


@pytest.mark.parametrize(
    ("name", "points"),
    [("cysteine", 344), ("dodecanethiol", 344), ("diphenyl_sulfoxide", 344), ("methionine_sulfone", 367)],
)
def test_shipped_spectra_are_read(name: str, points: int) -> None:
    with as_file(files("xas_bluesky") / "data" / "measured" / f"{name}.csv") as path:
        spectrum = read_spectrum(path)
        expected = np.loadtxt(path, delimiter=",")
    assert len(spectrum) == points
    assert list(spectrum.channels) == ["mu"]
    np.testing.assert_array_equal(spectrum.energy, expected[:, 0])
    np.testing.assert_array_equal(spectrum.channels["mu"], expected[:, 1])


@pytest.mark.parametrize(
    ("signal", "channel"),
    [
        *(("itrans", "itrans"), ("It", "itrans"), ("i1", "itrans")),
        *(("ifluor", "fluorescence"), ("if", "fluorescence"), ("Lytle", "fluorescence"), ("PIPS", "fluorescence")),
        *(("iyield", "electron_yield"), ("TEY", "electron_yield")),
    ],
)
def test_xdi_gives_raw_channels_and_metadata(tmp_path: Path, signal: str, channel: str) -> None:
    spectrum = read_spectrum(xdi(tmp_path, signal=signal))
    assert set(spectrum.channels) == {"i0", channel}
    np.testing.assert_array_equal(spectrum.energy, ENERGY)
    np.testing.assert_array_equal(spectrum.channels[channel], ITRANS)
    assert spectrum.metadata == {"edge": "S K", "sample": "calcium sulfide"}


def test_mu_is_taken_where_the_raw_channels_are_not_complete(tmp_path: Path) -> None:
    spectrum = read_spectrum(xdi(tmp_path, signal="irefer"))
    assert list(spectrum.channels) == ["mu"]
    np.testing.assert_allclose(spectrum.channels["mu"], np.log(I0 / ITRANS), atol=1e-6)


def test_the_reference_is_not_taken_for_the_sample(tmp_path: Path) -> None:
    with pytest.raises(SpectrumError, match="no absorption among the columns energy, i0, irefer, murefer"):
        read_spectrum(xdi(tmp_path, signal="irefer", last="murefer"))


def test_dwell_is_read(tmp_path: Path) -> None:
    spectrum = read_spectrum(xdi(tmp_path, last="counttime seconds"))
    assert set(spectrum.channels) == {"i0", "itrans", "dwell"}


def test_kev_becomes_ev(tmp_path: Path) -> None:
    np.testing.assert_allclose(read_spectrum(xdi(tmp_path, ENERGY / 1000, unit="keV")).energy, ENERGY)


def test_a_scan_measured_downwards_is_turned_round(tmp_path: Path) -> None:
    spectrum = read_spectrum(xdi(tmp_path, ENERGY[::-1]))
    np.testing.assert_array_equal(spectrum.energy, ENERGY)
    np.testing.assert_array_equal(spectrum.channels["itrans"], ITRANS[::-1])


@pytest.mark.parametrize(
    "header", ["# qexafs_energy I0 It Iref lnI0It", "# Energy(eV) I0 I1 I2 mu", "mono_energy,Io,It,Ir,xmu"]
)
def test_transmission_with_a_reference_by_the_names_of_several_beamlines(tmp_path: Path, header: str) -> None:
    delimiter = "," if "," in header else " "
    path = write(tmp_path / "scan.dat", header, ENERGY, I0, ITRANS, ITRANS / 2, np.log(I0 / ITRANS), delimiter=delimiter)
    spectrum = read_spectrum(path)
    assert list(spectrum.channels) == ["i0", "itrans", "irefer"]
    np.testing.assert_array_equal(spectrum.energy, ENERGY)
    np.testing.assert_array_equal(spectrum.channels["irefer"], ITRANS / 2)


def test_the_readback_is_taken_not_what_was_asked_for(tmp_path: Path) -> None:
    path = write(tmp_path / "scan.csv", "requested_energy,mono_energy,mu", ENERGY + 0.3, ENERGY, ITRANS, delimiter=",")
    np.testing.assert_array_equal(read_spectrum(path).energy, ENERGY)


@pytest.mark.parametrize(
    ("header", "delimiter"),
    [
        ("energy_eV,mu_raw", ","),
        ("energy,absorption", ","),
        ("Energy,intensity", ","),
        ("# qexafs_energy lnI0It", " "),
        ("# energy FFI0", " "),
        ("# a title of some words\n# energy_eV,mu_raw", ","),
        ("# two words", " "),
        ("Energy (eV), xmu", ", "),
        ('"energy_eV","mu"', ","),
        ("# energy mu", "\t"),
        ("# e mutrans", " "),
    ],
)
def test_two_columns(tmp_path: Path, header: str, delimiter: str) -> None:
    spectrum = read_spectrum(write(tmp_path / "scan.dat", header, ENERGY, ITRANS, delimiter=delimiter))
    np.testing.assert_array_equal(spectrum.energy, ENERGY)
    np.testing.assert_array_equal(spectrum.channels["mu"], ITRANS)


def test_columns_are_found_by_name_in_any_order(tmp_path: Path) -> None:
    path = write(tmp_path / "scan.csv", "itrans,energy_keV,i0", ITRANS, ENERGY / 1000, I0, delimiter=",")
    spectrum = read_spectrum(path)
    np.testing.assert_allclose(spectrum.energy, ENERGY)
    np.testing.assert_array_equal(spectrum.channels["i0"], I0)


def test_latin_1_headers_and_windows_line_ends_are_read(tmp_path: Path) -> None:
    path = tmp_path / "scan.dat"
    rows = "".join(f"{energy} {mu}\r\n" for energy, mu in zip(ENERGY, ITRANS, strict=True))
    path.write_bytes(b"# 25 \xb0C\r\n" + rows.encode())
    np.testing.assert_array_equal(read_spectrum(path).energy, ENERGY)


def rows(*changes: tuple[int, str]) -> str:
    lines = [f"{energy},{mu}" for energy, mu in zip(ENERGY, ITRANS, strict=True)]
    for index, line in changes:
        lines[index] = line
    return "energy_eV,mu\n" + "\n".join(lines) + "\n"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (rows((3, "2463.0,nan")), r":5: 'nan' in column 'mu' is no finite number; correct or remove the line"),
        (rows((3, "inf,1.0")), r":5: 'inf' in column 'energy'"),
        (rows((3, "2463.0,1.2e")), r":5: '1.2e' in column 'mu'"),
        (rows((3, "2463.0")), r":5: 1 columns, but 2 in line 2"),
        (rows((4, "2463.0,1.0")), r":6: the energy 2463 eV repeats that of line 5"),
        (rows((4, "2461.0,1.0")), r":6: the energy 2461 eV turns back from line 5 \(2463 eV\); sort the file"),
        ("\n".join(rows().splitlines()[:10]), "9 points, at least 10 are needed"),
        (rows().replace("energy_eV", "wavelength"), "no column energy among wavelength, mu"),
        (rows().replace("energy_eV", "angle"), "the mono's angle is given instead of the energy"),
        (rows().replace("mu", "temperature"), "no absorption among the columns energy, temperature"),
        (rows().replace("energy_eV", "energy_keV"), ":2: 2.46e.06 to 2.479e.06 eV are no X-ray energies"),
        (rows().replace("energy_eV", "Energy (steps)"), "the energies are in 'steps'; give them in eV or keV"),
        (
            rows().replace("energy_eV,mu\n", "").replace(",", ",1,"),
            "3 columns without names; name them in a line above",
        ),
        ("", "the file holds no numbers"),
        ("# only\n# comments\n", "the file holds no numbers"),
        ("<html>not found</html>", "the file holds no numbers"),
    ],
)
def test_bad_text_is_refused_by_file_and_line(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "scan.csv"
    path.write_text(text)
    with pytest.raises(SpectrumError, match=message) as refused:
        read_spectrum(path)
    assert str(refused.value).startswith(f"{path}:")
    assert "\n" not in str(refused.value)


def test_energies_in_kev_need_their_unit(tmp_path: Path) -> None:
    path = write(tmp_path / "scan.dat", "# energy mu", ENERGY / 1000, ITRANS)
    with pytest.raises(SpectrumError, match=r":2: the energies \(2.46 …\) look like keV"):
        read_spectrum(path)


def test_what_is_no_text_is_refused(tmp_path: Path) -> None:
    binary = tmp_path / "image.csv"
    binary.write_bytes(bytes(range(256)))
    with pytest.raises(SpectrumError, match="not a text file"):
        read_spectrum(binary)
    with pytest.raises(SpectrumError, match=r"cannot be read \(No such file or directory\)"):
        read_spectrum(tmp_path / "missing.xdi")
    with pytest.raises(SpectrumError, match="cannot be read"):
        read_spectrum(tmp_path)


def test_public_names() -> None:
    assert xas_bluesky.files.__all__ == ["read_candidates", "read_spectrum", "save_xdi", "write_xdi", "xdi_path"]
