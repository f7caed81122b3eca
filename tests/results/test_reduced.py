import dataclasses
from collections.abc import Iterator
from datetime import datetime
from importlib.resources import as_file, files
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from tiled.queries import Key

from xas_bluesky.errors import CatalogError, SpectrumError
from xas_bluesky.files import read_spectrum
from xas_bluesky.reduction import normalize
from xas_bluesky.results import Catalog, open_catalog
from xas_bluesky.results.connection import ANALYSES, RUNS, make_containers
from xas_bluesky.spectra import Absorption, ReducedScan, Spectrum

METADATA: dict[str, object] = {
    "uid": "0ab9d6a4-0b9f-4d55-9a06-3c1c3f1d5a11",
    "edge": "S K",
    "sample": "methionine sulfone (98.5 %)",
    "start_time": 1.8e9,
    "stop_time": 1.8e9 + 33.5,
    "exit_status": "success",
    "missing": 2,
    "xdi": {"Facility.name": "NSLS-II", "Mono.name": "Si(111)", "Mono.d_spacing": "3.1353241"},
}


@pytest.fixture(scope="module")
def catalog(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Catalog]:
    with open_catalog(tmp_path_factory.mktemp("beamline") / "catalog") as opened:
        yield opened


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
    number = np.arange(len(known))
    flags = {"a reading is not finite": np.isin(number, [5, 7]), "harmonics:\n suspected": number >= 360, "none": number < 0}
    absorption = Absorption(known.energy + 0.25, mu, variance, "transmission", "photons", flags, ("dark is not known",))
    return ReducedScan(
        spectrum=Spectrum(known.energy, {"i0": i0, "itrans": itrans, "irefer": itrans / 2}, METADATA),
        absorption=absorption,
        reference=Absorption(known.energy, np.full(len(known), np.log(2)), variance, "reference", "scatter"),
        reference_e0=2471.5,
        shift=0.25,
        normalized=normalize(absorption),
        stage="whole",
        unknown={"thickness": "no one said"},
        remarks=("2 points were left out",),
    )


def of_run(scan: ReducedScan, uid: str, **changes: Any) -> ReducedScan:
    spectrum = dataclasses.replace(scan.spectrum, metadata={**scan.spectrum.metadata, "uid": uid})
    return dataclasses.replace(scan, spectrum=spectrum, **changes)


def assert_same(found: Any, expected: Any) -> None:
    """Equal bit for bit, through dataclasses and mappings."""
    if dataclasses.is_dataclass(expected):
        for field in dataclasses.fields(expected):
            assert_same(getattr(found, field.name), getattr(expected, field.name))
    elif isinstance(expected, np.ndarray):
        alike = [np.where(np.isnan(values), np.nan, values) for values in (found, expected)]  # one nan is like another
        assert alike[0].tobytes() == alike[1].tobytes()
    elif isinstance(expected, dict):
        assert list(found) == list(expected)
        for name, value in expected.items():
            assert_same(found[name], value)
    else:
        assert found == expected


def test_scan_comes_back_bit_for_bit(catalog: Catalog, measured: ReducedScan) -> None:
    catalog.save_reduced(measured)
    assert_same(catalog.load_reduced(str(METADATA["uid"])), measured)


def test_scan_that_has_only_begun_comes_back(catalog: Catalog, measured: ReducedScan) -> None:
    begun = of_run(measured, "begun", reference=None, reference_e0=None, normalized=None, stage="below the edge", remarks=())
    catalog.save_reduced(begun)
    assert_same(catalog.load_reduced("begun"), begun)
    nothing = np.zeros(0)
    empty = dataclasses.replace(
        begun,
        spectrum=Spectrum(nothing, {}, {"uid": "empty"}),
        absorption=Absorption(nothing, nothing, nothing, flags={"dark": np.zeros(0, dtype=bool)}),
        stage="empty",
    )
    catalog.save_reduced(empty)
    assert_same(catalog.load_reduced("empty"), empty)


@settings(max_examples=4, deadline=None, phases=[Phase.generate])  # shrinking would take minutes
@given(
    st.lists(st.tuples(st.floats(), st.floats(), st.floats(), st.floats(), st.booleans()), max_size=20),
    st.text(st.characters(codec="utf-8")),
)
def test_any_numbers_and_texts_come_back(catalog: Catalog, measured: ReducedScan, rows: list[Any], text: str) -> None:
    energy, i0, mu, variance, flagged = np.array(rows, dtype=np.float64).reshape(-1, 5).T
    metadata = {"uid": "any", "sample": text, "xdi": {text: text}}
    scan = dataclasses.replace(
        measured,
        spectrum=Spectrum(energy, {"i0": i0, "mu": mu}, metadata),
        absorption=Absorption(energy, mu, variance, "mu", text, {text: flagged.astype(bool)}),
        unknown={text: text},
        remarks=(text, text),
    )
    catalog.save_reduced(scan)
    assert_same(catalog.load_reduced("any"), scan)


@pytest.mark.parametrize(
    ("query", "found"),
    [
        (Key("raw_uid") == "searched", True),
        (Key("sample") == "methionine sulfone (98.5 %)", True),
        (Key("edge") == "S K", True),
        (Key("element") == "S", True),
        (Key("mode") == "Transmission", True),
        (Key("stage") == "whole", True),
        (Key("noise") == "photons", True),
        (Key("reference.noise") == "scatter", True),
        (Key("exit_status") == "success", True),
        (Key("e0") > 2470, True),
        (Key("edge_step") > 0.1, True),
        (Key("shift") == 0.25, True),
        (Key("points") == 367, True),
        (Key("left_out") == 2, True),
        (Key("missing") >= 2, True),
        (Key("missing") > 2, False),
        (Key("nexus.definition") == "NXxas_trans", True),
        (Key("stage") == "empty", False),
        (Key("element") == "Cu", False),
    ],
    ids=str,
)
def test_scans_are_found_by_what_was_reduced(catalog: Catalog, measured: ReducedScan, query: Any, found: bool) -> None:
    if not len(catalog.reduced.search(Key("raw_uid") == "searched")):
        catalog.save_reduced(of_run(measured, "searched"))
    uids = [container.metadata["raw_uid"] for container in catalog.reduced.search(query).values()]
    assert ("searched" in uids) == found


def test_saving_again_replaces(catalog: Catalog, measured: ReducedScan) -> None:
    first = catalog.save_reduced(of_run(measured, "restarted", stage="in the edge"))
    second = catalog.save_reduced(of_run(measured, "restarted"))
    assert list(catalog.reduced.search(Key("raw_uid") == "restarted").keys()) == [second]
    assert first != second
    assert catalog.load_reduced("restarted").stage == "whole"


def test_nexus_names_lead_to_the_numbers(catalog: Catalog, measured: ReducedScan) -> None:
    record = catalog.reduced[catalog.save_reduced(of_run(measured, "nexus"))]
    nexus = record.metadata["nexus"]
    assert (nexus["definition"], nexus["mode"]) == ("NXxas_trans", "Transmission")
    assert (nexus["element"], nexus["edge"]["name"]) == ({"symbol": "S"}, "K")
    assert (nexus["is_experimental"], nexus["calculated"]) == (True, False)
    assert nexus["sample"] == {"name": "methionine sulfone (98.5 %)"}
    assert datetime.fromisoformat(nexus["end_time"]).timestamp() == 1.8e9 + 33.5
    instrument = nexus["instrument"]
    assert instrument["source"] == {"name": "NSLS-II", "type": None, "probe": "x-ray"}
    assert instrument["monochromator"]["crystal"] == {"type": "Si(111)", "d_spacing": "3.1353241"}
    expected = {
        nexus["energy"]["target"]: measured.absorption.energy,
        nexus["intensity"]["target"]: measured.absorption.mu,
        instrument["monochromator"]["energy"]["target"]: measured.spectrum.energy,
        instrument["iref"]["data"]["target"]: measured.spectrum.channels["irefer"],
    }
    for target, values in expected.items():
        table, column = target.split("/")
        np.testing.assert_array_equal(record[table, column].read(), values)


@pytest.mark.parametrize(
    ("signal", "definition", "mode"),
    [
        ("fluorescence", "NXxas", "Fluorescence Yield"),
        ("electron_yield", "NXxas_tey", "Total Electron Yield"),
        ("mu", "NXxas", None),
    ],
)
def test_mode_follows_the_signal(catalog: Catalog, measured: ReducedScan, signal: str, definition: str, mode: str) -> None:
    scan = of_run(measured, signal, absorption=dataclasses.replace(measured.absorption, signal=signal))
    metadata = catalog.reduced[catalog.save_reduced(scan)].metadata
    assert (metadata["nexus"]["definition"], metadata["mode"]) == (definition, mode)


def test_metadata_need_not_be_json(catalog: Catalog, measured: ReducedScan) -> None:
    odd = {
        "uid": "odd",
        "missing": np.int64(3),
        "temperature": np.nan,
        "at": (1, 2.5),
        "file": Path("a.h5"),
        "roi": np.arange(2),
    }
    spectrum = dataclasses.replace(measured.spectrum, metadata=odd)
    catalog.save_reduced(dataclasses.replace(measured, spectrum=spectrum))
    plain = {"uid": "odd", "missing": 3, "temperature": None, "at": [1, 2.5], "file": "a.h5", "roi": [0, 1]}
    assert catalog.load_reduced("odd").spectrum.metadata == plain


def test_what_cannot_be_kept_or_found_is_said(catalog: Catalog, measured: ReducedScan) -> None:
    with pytest.raises(CatalogError, match="no reduced scan of run 'nope'"):
        catalog.load_reduced("nope")
    with pytest.raises(SpectrumError, match=r"name no run \(uid\)"):
        catalog.save_reduced(dataclasses.replace(measured, spectrum=Spectrum(measured.spectrum.energy, {})))
    key = catalog.save_reduced(of_run(measured, "torn"))
    catalog.reduced[key].delete_contents("absorption", external_only=False)
    with pytest.raises(CatalogError, match=r"the reduced scan could not be read \('?absorption"):
        catalog.load_reduced("torn")


def test_a_catalog_from_before_scans_were_kept_gets_their_container(catalog: Catalog) -> None:
    old = catalog.runs.parent.create_container("old")
    for key in (RUNS, ANALYSES):
        old.create_container(key)
    make_containers(old, shown="old")
    assert sorted(old) == ["analyses", "reduced", "runs"]
