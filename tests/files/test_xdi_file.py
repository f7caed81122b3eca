import dataclasses
from datetime import datetime
from importlib.resources import as_file, files
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from larch.io import read_ascii, read_xdi

from xas_bluesky.errors import SettingsError, SpectrumError
from xas_bluesky.files import read_spectrum, write_xdi, xdi_path
from xas_bluesky.reduction import normalize
from xas_bluesky.spectra import Absorption, Array, ReducedScan, Spectrum

UID = "0ab9d6a4-0b9f-4d55-9a06-3c1c3f1d5a11"
XDI = {
    "Facility.name": "NSLS-II",
    "Facility.energy": "3.00 GeV",
    "Beamline.name": "06BM",
    "Mono.name": "Si(111)",
    "Mono.d_spacing": "3.1353241 Å",
    "Detector.I0": "10 cm N2",
    "Sample.prep": "pellet",
    "Scan.edge_energy": "2472.0",
    "BMM.shutter": "open",
}
METADATA: dict[str, object] = {
    "uid": UID,
    "edge": "S K",
    "sample": "methionine sulfone",
    "start_time": 1.8e9,
    "stop_time": 1.8e9 + 33.5,
    "exit_status": "success",
    "missing": 2,
    "xdi": XDI,
}


def scan_of(spectrum: Spectrum, mu: Array, variance: Array, signal: str = "transmission", **changes: Any) -> ReducedScan:
    shift = 0.25
    flags = changes.pop("flags", {})
    known: dict[str, Any] = {
        "spectrum": spectrum,
        "absorption": Absorption(spectrum.energy + shift, mu, variance, signal, "photons", flags),
        "reference": None,
        "reference_e0": None,
        "shift": shift,
        "normalized": None,
        "stage": "whole",
        "unknown": {},
        "remarks": (),
    }
    return ReducedScan(**(known | changes))


@pytest.fixture(scope="module")
def measured() -> ReducedScan:
    """A measured spectrum as three ion chambers would have counted it, two points of it bad."""
    with as_file(files("xas_bluesky") / "data" / "measured" / "methionine_sulfone.csv") as path:
        known = read_spectrum(path)
    mu = known.channels["mu"] / known.channels["mu"].max()
    i0 = np.random.default_rng(3).poisson(1e6, len(known)).astype(float)
    itrans, variance = i0 * np.exp(-mu), np.full(len(known), 2e-6)
    i0[5], itrans[7] = np.nan, np.inf
    variance[[5, 7]] = np.inf
    channels = {"i0": i0, "itrans": itrans, "irefer": 0.5 * itrans, "dwell": np.full(len(known), 0.1)}
    number = np.arange(len(known))
    flags = {"a reading is not finite": np.isin(number, [5, 7]), "harmonics are suspected": number >= 360}
    scan = scan_of(Spectrum(known.energy, channels, METADATA), mu, variance, flags=flags)
    half = np.full(len(known), np.log(2))
    reference = Absorption(known.energy, half, variance, "reference", "photons", {"beam lost": number == 9}, ("no dark",))
    remarks = ("2 points were left out", "the sample is thick:\nharmonics")
    normalized = normalize(scan.absorption)
    return dataclasses.replace(scan, reference=reference, reference_e0=2471.5, normalized=normalized, remarks=remarks)


def assert_read_back(path: Path, spectrum: Spectrum) -> None:
    found = read_spectrum(path)
    assert list(found.channels) == list(spectrum.channels)
    for name, values in {"energy": spectrum.energy, **spectrum.channels}.items():
        read = found.energy if name == "energy" else found.channels[name]
        bits = np.where(np.isnan(values), np.nan, values)  # one nan is like another
        assert np.where(np.isnan(read), np.nan, read).tobytes() == bits.tobytes(), name


def test_every_number_comes_back(tmp_path: Path, measured: ReducedScan) -> None:
    path = xdi_path(tmp_path / "new" / "folder", measured)
    write_xdi(path, measured)
    assert path.name == "methionine_sulfone_S_K_0ab9d6a4.xdi"
    assert [file.name for file in path.parent.iterdir()] == [path.name]
    assert_read_back(path, measured.spectrum)
    assert read_spectrum(path).metadata == {"edge": "S K", "sample": "methionine sulfone"}


@pytest.mark.parametrize("use_pyxdi", [True, False], ids=["larch", "the library of Athena"])
def test_larch_reads_the_same(tmp_path: Path, measured: ReducedScan, use_pyxdi: bool) -> None:
    path = tmp_path / "scan.xdi"
    write_xdi(path, measured)
    group = read_xdi(str(path), use_pyxdi=use_pyxdi)
    assert group.array_labels == [
        *("energy", "mutrans", "mutrans_std", "flag", "i0", "itrans", "irefer", "dwell"),
        *("murefer", "murefer_std", "murefer_flag"),
    ]
    assert (group.array_units[0], group.array_units[7]) == ("eV", "s")
    good = measured.absorption.usable
    np.testing.assert_array_equal(group.energy, measured.spectrum.energy)
    np.testing.assert_array_equal(group.mutrans, measured.absorption.mu)
    np.testing.assert_array_equal(group.mutrans_std[good], np.sqrt(2e-6))
    np.testing.assert_array_equal(group.itrans[good], measured.spectrum.channels["itrans"][good])
    assert (group.i0[5], group.itrans[7], group.mutrans_std[5]) == (0.0, 1e30, 1e30)
    assert np.flatnonzero(group.flag == 1).tolist() == [5, 7]
    assert np.flatnonzero(group.flag == 2).tolist() == list(range(360, 367))
    assert (group.element, group.edge, group.dspacing) == ("S", "K", 3.1353241)
    assert group.attrs["facility"] == {"name": "NSLS-II", "energy": "3.00 GeV"}
    assert group.attrs["bmm"] == {"shutter": "open"}
    assert group.attrs["sample"] == {"prep": "pellet", "name": "methionine sulfone"}
    assert group.attrs["scan"]["edge_energy"] == "2472.0"
    ours = group.attrs["xas_bluesky"]
    assert (ours["run_uid"], ours["exit_status"], ours["missing"], ours["points"]) == (UID, "success", "2", "367")
    assert (ours["signal"], ours["noise"], ours["stage"]) == ("transmission", "photons", "whole")
    assert measured.normalized is not None
    assert ours["e0"] == f"{measured.normalized.e0!r} eV, with the shift"
    assert float(ours["edge_step"]) == measured.normalized.edge_step
    assert ours["shift"] == "0.25 eV, to be added to the energies"
    assert ours["order"] == "time; the energies increase"
    assert ours["flag_1"] == "a reading is not finite: points 6, 8"
    assert ours["flag_2"] == "harmonics are suspected: points 361-367"
    assert (ours["murefer_flag_1"], ours["murefer_remark_1"]) == ("beam lost: points 10", "no dark")
    assert ours["remark_2"] == "the sample is thick: harmonics"


def test_larch_reads_it_as_columns_too(tmp_path: Path, measured: ReducedScan) -> None:
    path = tmp_path / "scan.xdi"
    write_xdi(path, measured)
    group = read_ascii(str(path))
    assert group.array_labels[:5] == ["energy", "mutrans", "mutrans_std", "flag", "i0"]
    np.testing.assert_array_equal(group.mutrans, measured.absorption.mu)


def test_times_are_those_of_the_run(tmp_path: Path, measured: ReducedScan) -> None:
    path = tmp_path / "scan.xdi"
    write_xdi(path, measured)
    said = read_xdi(str(path)).attrs["scan"]
    assert datetime.fromisoformat(said["start_time"]).timestamp() == 1.8e9
    assert datetime.fromisoformat(said["end_time"]).timestamp() == 1.8e9 + 33.5


@pytest.mark.parametrize(
    ("signal", "column", "channels"),
    [
        ("transmission", "mutrans", ("i0", "itrans", "energy_setpoint")),
        ("fluorescence", "mufluor", ("i0", "fluorescence")),
        ("fluorescence", "mufluor", ("i0", "fluorescence_1", "fluorescence_2", "icr_1", "icr_2", "ocr_1", "ocr_2")),
        ("electron_yield", "muyield", ("i0", "electron_yield", "dwell")),
        ("mu", "xmu", ("mu",)),
        ("mu", "xmu", ("i0", "itrans", "mu")),
    ],
)
def test_each_signal_has_its_column(tmp_path: Path, signal: str, column: str, channels: tuple[str, ...]) -> None:
    energy = np.array([8990.0, 8980.0, 8980.0, 8985.5])  # an adaptive scan goes back and repeats
    values = np.random.default_rng(1).random((len(channels), 4))
    scan = scan_of(Spectrum(energy, dict(zip(channels, values, strict=True))), np.arange(4.0), np.ones(4), signal)
    path = xdi_path(tmp_path, scan)
    write_xdi(path, scan)
    assert path.name == "scan.xdi"
    assert_read_back(path, scan.spectrum)
    group = read_xdi(str(path), use_pyxdi=False)
    np.testing.assert_array_equal(getattr(group, column), np.arange(4.0))
    assert group.attrs["xas_bluesky"]["order"] == "time; the energies do not increase, sort them first"


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.tuples(st.floats(), st.floats(), st.floats(), st.floats(min_value=0), st.booleans()), min_size=1, max_size=30)
)
def test_any_numbers_come_back(tmp_path_factory: pytest.TempPathFactory, rows: list[tuple[float, ...]]) -> None:
    energy, i0, mu, variance, flagged = (np.array(column) for column in zip(*rows, strict=True))
    scan = scan_of(Spectrum(energy, {"i0": i0, "mu": mu}), mu, variance, "mu", flags={"odd": flagged.astype(bool)})
    path = tmp_path_factory.mktemp("any") / "scan.xdi"
    write_xdi(path, scan)
    assert_read_back(path, scan.spectrum)


@settings(max_examples=60, deadline=None)
@given(
    st.dictionaries(st.one_of(st.sampled_from([*XDI, "Outer.value", "Column.2", "mono.dspacing"]), st.text()), st.text()),
    st.text(),
    st.dictionaries(st.text(), st.text(max_size=3000), max_size=3),
    st.lists(st.text(), max_size=3),
)
def test_any_texts_can_be_read(
    tmp_path_factory: pytest.TempPathFactory, xdi: dict[str, str], text: str, unknown: dict[str, str], remarks: list[str]
) -> None:
    folder = tmp_path_factory.mktemp("any")
    energy = 8970.0 + np.arange(4.0)
    metadata = {"uid": text, "edge": text, "sample": text, "exit_status": text, "start_time": text, "xdi": xdi}
    spectrum = Spectrum(energy, {"i0": np.ones(4), "itrans": np.ones(4)}, metadata)
    flags = {text: energy > 8971}
    scan = scan_of(spectrum, np.zeros(4), np.ones(4), flags=flags, unknown=unknown, remarks=tuple(remarks))
    path = xdi_path(folder, scan)
    assert path.parent == folder
    write_xdi(path, scan)
    assert_read_back(path, spectrum)
    assert max(map(len, path.read_bytes().splitlines())) < 8192
    for use_pyxdi in (True, False):
        group = read_xdi(str(path), use_pyxdi=use_pyxdi)
        np.testing.assert_array_equal(group.energy, energy)
        np.testing.assert_array_equal(group.flag, [0, 0, 2, 2])


def test_fields_that_xdi_cannot_name_are_kept(tmp_path: Path) -> None:
    xdi = {
        "Mono.d_spacing": "unknown",
        "Column.1": "angle",
        "Probe-2.n m": "7",
        "_user.é": "x",
        "_user.è": "y",
        "Sample.id": "",
    }
    scan = scan_of(Spectrum(np.ones(3), {"mu": np.ones(3)}, {"xdi": xdi}), np.ones(3), np.ones(3), "mu")
    write_xdi(tmp_path / "scan.xdi", scan)
    group = read_xdi(str(tmp_path / "scan.xdi"))
    assert group.array_labels[0] == "energy"
    assert "sample" not in group.attrs
    kept = {name: value for name, value in group.attrs["xas_bluesky"].items() if name.startswith("given_")}
    assert kept == {
        "given_mono_d_spacing": "unknown",
        "given_column_1": "angle",
        "given_probe_2_n_m": "7",
        "given__user__": "x",
        "given__user___2": "y",
    }


def test_long_lists_of_points_take_several_fields(tmp_path: Path) -> None:
    number = np.arange(2001)
    i0 = np.where(number % 2, 1.0, np.nan)
    spectrum = Spectrum(8970.0 + number, {"i0": i0, "itrans": np.ones(2001)})
    scan = scan_of(spectrum, np.zeros(2001), np.where(number % 2, 1.0, np.inf), flags={"i0 is not finite": number % 2 == 0})
    path = tmp_path / "scan.xdi"
    write_xdi(path, scan)
    assert_read_back(path, spectrum)
    ours = read_xdi(str(path), use_pyxdi=False).attrs["xas_bluesky"]
    lists = [value.split(": points ") for name, value in ours.items() if name.startswith("flag_")]
    assert {reason for reason, _ in lists} == {"i0 is not finite"}
    assert [int(point) for _, points in lists for point in points.split(", ")] == list(range(1, 2002, 2))
    assert max(map(len, path.read_text().splitlines())) < 2048


@pytest.mark.parametrize("sample", ["../../etc/passwd", "/tmp/x", "..", "", "a\x00b", "C:\\CON", "Ω" * 500, "x" * 500, "."])  # noqa: S108
def test_no_sample_leads_out_of_the_folder(tmp_path: Path, sample: str) -> None:
    metadata = {"sample": sample, "edge": "../K", "uid": "../../x"}
    scan = scan_of(Spectrum(np.ones(3), {"mu": np.ones(3)}, metadata), np.ones(3), np.ones(3), "mu")
    path = xdi_path(tmp_path, scan)
    write_xdi(path, scan)
    assert [file.resolve() for file in tmp_path.iterdir()] == [path.resolve()]


def test_another_run_is_never_overwritten(tmp_path: Path, measured: ReducedScan) -> None:
    metadata = {**METADATA, "uid": UID[:8] + "-another"}
    other = dataclasses.replace(measured, spectrum=dataclasses.replace(measured.spectrum, metadata=metadata))
    nameless = dataclasses.replace(measured, spectrum=dataclasses.replace(measured.spectrum, metadata={}))
    path = xdi_path(tmp_path, measured)
    write_xdi(path, measured)
    before = path.read_bytes()
    assert xdi_path(tmp_path, measured) == path
    assert xdi_path(tmp_path, other) == tmp_path / "methionine_sulfone_S_K_0ab9d6a4_2.xdi"
    for intruder in (other, nameless):
        with pytest.raises(SettingsError, match="holds another run"):
            write_xdi(path, intruder)
    assert path.read_bytes() == before
    write_xdi(path, dataclasses.replace(measured, remarks=("reduced again",)))
    assert b"remark_1: reduced again" in path.read_bytes()
    write_xdi(tmp_path / "scan.xdi", nameless)
    assert xdi_path(tmp_path, nameless) == tmp_path / "scan_2.xdi"


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path, measured: ReducedScan) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(SettingsError, match=rf"{tmp_path}/file/a.xdi: cannot be written \(.*give a folder .*not lost"):
        write_xdi(tmp_path / "file" / "a.xdi", measured)
    (tmp_path / "scan.xdi").mkdir()
    with pytest.raises(SettingsError, match="holds another run, or something else"):
        write_xdi(tmp_path / "scan.xdi", measured)


def test_a_file_is_written_whole_or_not_at_all(tmp_path: Path, measured: ReducedScan, monkeypatch: pytest.MonkeyPatch) -> None:
    def disk_is_full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    path = tmp_path / "scan.xdi"
    write_xdi(path, measured)
    before = path.read_bytes()
    monkeypatch.setattr(Path, "replace", disk_is_full)
    with pytest.raises(SettingsError, match="No space left"):
        write_xdi(path, measured)
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_a_scan_without_points_is_refused(tmp_path: Path) -> None:
    nothing = np.zeros(0)
    with pytest.raises(SpectrumError, match="no points"):
        write_xdi(tmp_path / "scan.xdi", scan_of(Spectrum(nothing, {}), nothing, nothing))


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("\n8981.0 ", "\n# 8981.0 ", "2 rows, but the header says 3; get the file again"),
        ("Column.1: energy", "Column.1: e_nergy", "no column energy among e_nergy"),
        ("i0 nan 2", "i0 nan 7", "names no points of a column; get the file again"),
        ("i0 nan 2", "i0", "names no points of a column"),
    ],
)
def test_a_damaged_file_is_refused(tmp_path: Path, old: str, new: str, message: str) -> None:
    spectrum = Spectrum(np.array([8980.0, 8981.0, 8982.0]), {"i0": np.array([1.0, np.nan, 1.0]), "itrans": np.ones(3)})
    path = tmp_path / "scan.xdi"
    write_xdi(path, scan_of(spectrum, np.zeros(3), np.ones(3)))
    text = path.read_text()
    assert text.count(old) == 1
    path.write_text(text.replace(old, new))
    with pytest.raises(SpectrumError, match=message):
        read_spectrum(path)


def test_points_of_unknown_noise_are_not_said_to_be_left_out(tmp_path: Path) -> None:
    spectrum = Spectrum(np.array([8980.0, 8981.0, 8982.0]), {"mu": np.ones(3)})
    flags = {"glitch": np.array([False, True, False])}
    write_xdi(tmp_path / "scan.xdi", scan_of(spectrum, np.ones(3), np.full(3, np.inf), "mu", flags=flags))
    assert read_xdi(str(tmp_path / "scan.xdi")).flag.tolist() == [0, 1, 0]


def test_an_energy_that_is_not_finite_stands_between_its_neighbours(tmp_path: Path) -> None:
    spectrum = Spectrum(np.array([8980.0, np.nan, 8982.0]), {"mu": np.ones(3)})
    write_xdi(tmp_path / "scan.xdi", scan_of(spectrum, np.ones(3), np.ones(3), "mu"))
    assert read_xdi(str(tmp_path / "scan.xdi")).energy.tolist() == [8980.0, 8981.0, 8982.0]
    assert_read_back(tmp_path / "scan.xdi", spectrum)
