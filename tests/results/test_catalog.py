import dataclasses
import json
import socket
import stat
import threading
import time
from http.server import HTTPServer, SimpleHTTPRequestHandler
from pathlib import Path

import numpy as np
import pytest
from bluesky import RunEngine
from bluesky.plans import count
from ophyd.sim import SynSignal

from xas_bluesky.errors import CatalogError, EdgeError, SettingsError
from xas_bluesky.results import DecisionStep, open_catalog


@pytest.fixture(scope="module")
def catalog(tmp_path_factory):
    with open_catalog(tmp_path_factory.mktemp("beamline") / "new" / "catalog") as opened:
        yield opened


@pytest.fixture(scope="module")
def key(catalog, record):
    return catalog.save(record)


def is_bit_for_bit(loaded, kept):
    for field in dataclasses.fields(kept):
        found, wanted = getattr(loaded, field.name), getattr(kept, field.name)
        assert type(found) is type(wanted)
        if isinstance(wanted, np.ndarray):
            assert found.dtype == wanted.dtype
            np.testing.assert_array_equal(found, wanted)
        else:
            assert found == wanted
    return True


def test_record_comes_back_whole(catalog, key, record):
    loaded = catalog.load(key)
    assert dataclasses.replace(loaded, predicted=record.predicted, inputs=record.inputs, measured=record.measured) == record
    assert is_bit_for_bit(loaded.measured, record.measured)
    assert is_bit_for_bit(loaded.predicted, record.predicted)
    for spectra in ("population", "replaced"):
        assert is_bit_for_bit(getattr(loaded.inputs, spectra), getattr(record.inputs, spectra))
    assert is_bit_for_bit(loaded.inputs.conventional, record.inputs.conventional)
    arrays = {name: getattr(record.inputs, name) for name in ("population", "replaced", "conventional")}
    assert dataclasses.replace(loaded.inputs, **arrays) == record.inputs


def test_a_record_of_the_first_version_can_be_read(catalog, record):
    figures = {"points": 14, "seconds": 31.5, "photons": 4.2e9, "points_conventional": 223, "seconds_conventional": 290.0}
    said = {
        "raw_uid": record.raw_uid,
        "sample": "first",
        "edge": "S K",
        "model": "5f3a",
        "none_of_these": 0.02,
        "stop_reason": "sure",
        "seed": 3,
        **figures,
        "photons_conventional": 8.9e10,
        "time": 1.7e9,
        "ranking": [dataclasses.asdict(ranked) for ranked in record.ranking],
        "groups": [dataclasses.asdict(group) for group in record.groups],
        "errors": [],
        "candidates": list(record.predicted.candidate),
    }
    container = catalog.analyses.create_container(metadata=said, specs=["XASAnalysis"])
    for name in ("energy", "mean", "std", "factors", "ionization", "supported"):
        container.write_array(getattr(record.predicted, name), key=name)
    container.write_array(np.array([[0.56, 0.41, 0.01]]), key="posterior")
    container.write_table({"time": [1.0], "none_of_these": [0.02], "reason": ["sure"]}, key="decisions")
    container.write_table({"step": [0], "energy": [2470.0], "dwell": [0.5]}, key="requested")
    loaded = catalog.load(container.item["id"])
    assert loaded.decisions == (DecisionStep(1.0, (2470.0,), (0.5,), (0.56, 0.41, 0.01), 0.02, "sure"),)
    assert (loaded.inputs, loaded.warnings, loaded.exit_status) == (None, (), "success")
    assert np.isnan(loaded.dose)
    np.testing.assert_array_equal(loaded.predicted.factors, record.predicted.factors)


def test_a_record_from_before_distances_were_kept_can_be_read(catalog, record):
    key = catalog.save(dataclasses.replace(record, sample="old"))
    catalog.analyses[key].delete_contents("distance", external_only=False)
    loaded = catalog.load(key)
    assert np.isnan(loaded.predicted.distance).tolist() == [True, True, True]
    np.testing.assert_array_equal(loaded.predicted.std, record.predicted.std)


def test_a_record_that_lost_an_array_is_named(catalog, record):
    key = catalog.save(dataclasses.replace(record, sample="torn"))
    catalog.analyses[key].delete_contents("uncertainty", external_only=False)
    with pytest.raises(CatalogError, match=r"the analysis record could not be read \('?(std|uncertainty)"):
        catalog.load(key)


@pytest.mark.parametrize(
    "conditions",
    [
        {},
        {"sample": "supplement, lot 3"},
        {"edge": "s_k"},
        {"min_probability": 0.56},
        {"candidate": "cysteine"},
        {"candidate": "cysteine", "min_probability": 0.01},
        {
            "candidate": "dimethyl sulfone (98.5 %)",
            "min_probability": 0.4,
            "edge": "S K",
            "sample": "supplement, lot 3",
        },
    ],
)
def test_search_finds(catalog, key, conditions):
    assert key in [found["record"] for found in catalog.search(**conditions)]


@pytest.mark.parametrize(
    "conditions",
    [
        {"sample": "supplement"},
        {"edge": "Cu K"},
        {"min_probability": 0.57},
        {"candidate": "cystine"},
        {"candidate": "cysteine", "min_probability": 0.02},
        {"candidate": "cysteine", "sample": "another"},
    ],
)
@pytest.mark.usefixtures("key")
def test_search_leaves_out(catalog, conditions):
    assert catalog.search(**conditions) == []


def test_search_gives_plain_json(catalog, key, record):
    (found,) = catalog.search(sample=record.sample)
    assert json.loads(json.dumps(found)) == found
    assert found["record"] == key
    assert found["raw_uid"] == record.raw_uid
    assert found["edge"] == "S K"
    assert found["ranking"][0] == {
        "candidate": "methionine sulfone",
        "probability": 0.56,
        "group": 0,
        "energy_shift": -1.25,
    }
    assert (found["inchikey"], found["formula"]) == ("UCUNFLYVYCGDHP-UHFFFAOYSA-N", "C5H11NO4S")
    assert found["groups"][1] == {"members": ["cysteine"], "probability": 0.01}
    assert (found["none_of_these"], found["points"], found["points_conventional"]) == (0.02, 14, 223)


def test_search_lists_newest_first_up_to_the_limit(catalog, record):
    newer = catalog.save(dataclasses.replace(record, sample="series", time=20.0, decisions=()))
    older = catalog.save(dataclasses.replace(record, sample="series", time=10.0, decisions=()))
    assert [found["record"] for found in catalog.search(sample="series")] == [newer, older]
    assert [found["record"] for found in catalog.search(sample="series", limit=1)] == [newer]
    assert catalog.load(newer).decisions == ()


@pytest.mark.parametrize(
    ("conditions", "error"),
    [({"edge": "Sulfur"}, EdgeError), ({"min_probability": 95}, SettingsError), ({"limit": 0}, SettingsError)],
)
def test_search_refuses_conditions_that_make_no_sense(catalog, conditions, error):
    with pytest.raises(error, match="expected"):
        catalog.search(**conditions)


def test_unknown_record_is_named(catalog):
    with pytest.raises(CatalogError, match="no analysis record 'nope'"):
        catalog.load("nope")


def test_runs_are_written_as_they_are_measured(catalog):
    counts = iter(range(100))
    i0 = SynSignal(lambda: np.int64(next(counts)), name="i0")  # what a JSON encoder refuses
    engine = RunEngine({}, call_returns_result=True)
    writer = catalog.writer()
    engine.subscribe(writer)
    result = engine(count([i0], num=7))
    writer.close()
    (uid,) = result.run_start_uids
    assert writer.unwritten == []
    assert catalog.runs[uid].metadata["stop"]["exit_status"] == "success"
    measured = catalog.runs[uid]["primary"]["i0"].read()
    assert len(measured) == 7
    assert (np.diff(measured) > 0).all()
    with pytest.raises(CatalogError, match="closed"):
        writer("start", {"uid": "late"})


def test_another_process_finds_the_server(catalog, key, in_process):
    client = in_process(
        """
        with open_catalog(folder, create=False) as catalog:
            found = catalog.search(candidate="cysteine", sample="supplement, lot 3")
        heavy = {"tiled.server", "bluesky_tiled_plugins", "torch", "rdkit"} & set(sys.modules)
        print(json.dumps([found, sorted(heavy)]))
        """,
        catalog.where,
    )
    output, _ = client.communicate(timeout=60)
    found, heavy = json.loads(output)
    assert [entry["record"] for entry in found] == [key]
    assert heavy == []


def test_only_the_user_may_read_the_key(catalog):
    address = Path(catalog.where) / "server.json"
    assert stat.S_IMODE(address.stat().st_mode) == 0o600
    secret = json.loads(address.read_text())["api_key"]
    assert len(secret) >= 64
    assert secret not in (address.parent / "access.log").read_text()
    assert secret not in catalog.where


def test_process_that_runs_a_server_starts_no_other(catalog, tmp_path):
    with pytest.raises(CatalogError, match=f"runs the server of {catalog.where}; close"):
        open_catalog(tmp_path)


def test_url_of_the_runs_themselves_is_refused(catalog):
    address = json.loads((Path(catalog.where) / "server.json").read_text())
    with pytest.raises(CatalogError, match="container around it"):
        open_catalog(f"{address['url']}/metadata/runs?api_key={address['api_key']}")


def test_url_needs_the_key(catalog, key, monkeypatch):
    address = json.loads((Path(catalog.where) / "server.json").read_text())
    monkeypatch.delenv("TILED_API_KEY", raising=False)
    with pytest.raises(CatalogError, match="TILED_API_KEY"):
        open_catalog(f"{address['url']}?api_key=0123456789")
    with open_catalog(f"{address['url']}?api_key={address['api_key']}") as remote:
        assert address["api_key"] not in remote.where
        assert [found["record"] for found in remote.search(sample="supplement, lot 3")] == [key]
        empty_backup = remote.writer().backup
    assert not empty_backup.exists()
    monkeypatch.setenv("TILED_API_KEY", address["api_key"])
    with open_catalog(address["url"]) as remote:
        assert len(remote.search(limit=1)) == 1


def test_unreachable_server_is_said_soon():
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))  # bound and not listening: nothing can answer there
        url = f"http://127.0.0.1:{held.getsockname()[1]}"
        began = time.monotonic()
        with pytest.raises(CatalogError, match=rf"{url}.* nothing answers .*check the address"):
            open_catalog(f"{url}?api_key=secret")
        assert time.monotonic() - began < 6


def test_server_that_is_not_tiled_is_refused():
    with HTTPServer(("127.0.0.1", 0), SimpleHTTPRequestHandler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        with pytest.raises(CatalogError, match="give the URL of a Tiled server"):
            open_catalog(f"http://127.0.0.1:{server.server_port}")
        server.shutdown()
        thread.join()


def test_query_command_can_be_pasted(catalog):
    assert catalog.query_command() == f"xas-bluesky results --catalog {catalog.where} --json"
