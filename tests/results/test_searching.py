import datetime
import json
import os
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from matplotlib import pyplot
from tiled.client import from_uri
from tiled.queries import Key

from xas_bluesky.comparison import Group, Ranked
from xas_bluesky.errors import CatalogError, EdgeError, SettingsError, SpectrumError
from xas_bluesky.results import FoundRecord, open_catalog, search
from xas_bluesky.results.found import COLUMNS

pytestmark = pytest.mark.slow
KEY = "0123456789abcdef"
SULFONE = "UCUNFLYVYCGDHP-UHFFFAOYSA-N"
DAY = datetime.datetime(2026, 11, 3)


def listed(record, count):
    """A record with a long list of candidates: isomers, so that formulas repeat."""
    names = tuple(f"isomer {index}" for index in range(count))
    chances = np.linspace(2, 0.1, count) / np.linspace(2, 0.1, count).sum() * 0.9
    ranking = tuple(
        Ranked(name, float(chance), index // 2, 0.5) for index, (name, chance) in enumerate(zip(names, chances, strict=True))
    )
    groups = tuple(Group(names[at : at + 2], float(chances[at : at + 2].sum())) for at in range(0, count, 2))
    repeated = {part: np.repeat(getattr(record.predicted, part)[:1], count, axis=0) for part in ("mean", "std", "factors")}
    numbers = {part: np.repeat(getattr(record.predicted, part)[:1], count) for part in ("ionization", "supported", "distance")}
    keys = tuple(f"{'ABCDEFGHIJKLM'[index // 26]}{chr(65 + index % 26)}{'X' * 12}-UHFFFAOYSA-N" for index in range(count))
    formula = tuple("C2H6OS" if index % 2 else "C2H6S" for index in range(count))
    predicted = replace(record.predicted, candidate=names, source=(), inchikey=keys, formula=formula, **repeated, **numbers)
    return replace(
        record,
        sample="long",
        ranking=ranking,
        groups=groups,
        predicted=predicted,
        decisions=(),
        inputs=None,
        time=DAY.timestamp() + 3600,
    )


@pytest.fixture(scope="module")
def url(serving, tmp_path_factory):
    folder = tmp_path_factory.mktemp("served")
    where = [str(folder / "catalog.db"), "--write", str(folder / "data"), "--write", f"duckdb:///{folder / 'tables.db'}"]
    return f"{serving('catalog', *where, '--init', '--api-key', KEY)}?api_key={KEY}"


@pytest.fixture(scope="module")
def catalog(url):
    with open_catalog(url) as opened:
        yield opened


@pytest.fixture(scope="module")
def root(url):
    client = from_uri(url)
    yield client
    client.context.close()


@pytest.fixture(scope="module")
def keys(catalog, record):
    """Keys of the records: the last answer is that of "short"."""
    short = replace(record, sample="short", time=DAY.timestamp() + 2 * 86400, stop_reason="sure: 0.970 on methionine sulfone")
    bare = replace(record.predicted, inchikey=(), formula=())
    unknown = replace(
        short,
        sample="unidentified",
        time=DAY.timestamp(),
        stop_reason="budget: 9 of 9 points are spent",
        predicted=bare,
        measured=None,
    )
    return {one.sample: catalog.save(one) for one in (short, unknown, listed(record, 60))}


@pytest.mark.parametrize(
    ("conditions", "samples"),
    [
        ({}, ["short", "long", "unidentified"]),
        ({"sample": "long"}, ["long"]),
        ({"edge": "s_k"}, ["short", "long", "unidentified"]),
        ({"candidate": SULFONE}, ["short"]),
        ({"candidate": "XUJNEKJLAYXESH-UHFFFAOYSA-N", "min_probability": 0.01}, ["short"]),
        ({"candidate": "XUJNEKJLAYXESH-UHFFFAOYSA-N", "min_probability": 0.02}, []),
        ({"candidate": "dimethyl sulfone (98.5 %)"}, ["short", "unidentified"]),
        ({"candidate": "isomer 59"}, ["long"]),
        ({"formula": "SOH6C2"}, ["long"]),
        ({"formula": "C2H6S", "min_probability": 0.4}, ["long"]),
        ({"formula": "C2H6S", "min_probability": 0.9}, []),
        ({"candidate": "cysteine", "formula": "C2H6O2S"}, ["short"]),
        ({"min_probability": 0.5}, ["short", "unidentified"]),
        ({"since": "2026-11-04"}, ["short"]),
        ({"until": "2026-11-03"}, ["long", "unidentified"]),
        ({"since": DAY + datetime.timedelta(minutes=1), "until": DAY + datetime.timedelta(hours=2)}, ["long"]),
        ({"since": DAY.date(), "until": DAY.timestamp() + 1}, ["unidentified"]),
        ({"stop_reason": "sure"}, ["short"]),
        ({"stop_reason": "budget: 9 of 9 points are spent"}, ["unidentified"]),
        ({"model": "5f3a", "exit_status": "abort"}, ["short", "long", "unidentified"]),
        ({"model": "5f"}, []),
        ({"raw_uid": "0ab9d6a4-0b9f-4d55-9a06-3c1c3f1d5a11"}, ["short", "long", "unidentified"]),
    ],
)
def test_each_condition_is_answered_by_the_server(catalog, keys, conditions, samples):
    found = search(catalog, **conditions)
    assert [record.metadata["sample"] for record in found] == samples
    assert len(found) == len(samples)
    assert {record.key for record in found} <= set(keys.values())


@pytest.mark.parametrize(
    ("conditions", "error", "said"),
    [
        ({"edge": "Sulfur"}, EdgeError, "expected"),
        ({"min_probability": 95}, SettingsError, "min_probability: got 95, expected a number from 0 to 1"),
        ({"min_probability": "0.5"}, SettingsError, "min_probability: got '0.5'"),
        ({"since": "yesterday"}, SettingsError, "since: got 'yesterday', expected a date"),
        ({"formula": "water"}, SettingsError, "formula: got 'water', expected element symbols"),
        ({"sample": ""}, SettingsError, "sample: got '', expected a text"),
        ({"candidate": 5}, SettingsError, "candidate: got 5, expected a text"),
        ({"probability": 0.5}, SettingsError, "probability: no condition, expected one of sample, edge"),
    ],
)
def test_conditions_that_make_no_sense_are_refused(catalog, conditions, error, said):
    with pytest.raises(error, match=said):
        search(catalog, **conditions)


def test_any_client_near_the_records_serves(catalog, root, keys):
    for client in (root, root["runs"], root["analyses"], catalog):
        assert [record.key for record in search(client, sample="short")] == [keys["short"]]
    with pytest.raises(SettingsError, match="client: got str"):
        search("demo/catalog")
    with pytest.raises(CatalogError, match="no container 'analyses'"):
        search(root["reduced"])


def test_plain_queries_of_tiled_find_the_same(root, keys):
    analyses = root["analyses"]
    assert list(analyses.search(Key("inchikey") == SULFONE)) == [keys["short"]]
    found = analyses.search(Key("probability_by_formula.C3H7NO2S") >= 0.005)
    assert list(found) == [keys["short"]]
    (spec,) = analyses[keys["short"]].specs
    assert (spec.name, spec.version) == ("XASAnalysis", "2.0")


@pytest.fixture
def requests(catalog):
    """The requests made to the server meanwhile."""
    made = []
    client = catalog.analyses.context.http_client
    client.event_hooks["request"].append(note := lambda request: made.append(request.url.path.removeprefix("/api/v1/")))
    yield made
    client.event_hooks["request"].remove(note)


@pytest.mark.usefixtures("keys")
def test_only_what_is_asked_for_is_fetched(catalog, requests):
    analyses = catalog.analyses
    requests.clear()
    found = search(analyses)
    assert requests == []
    first = found[0]
    assert (first.metadata["sample"], len(requests)) == ("short", 1)
    assert [record.metadata["sample"] for record in found[:2]] == ["short", "long"]
    assert len(requests) == 2
    narrowed = found[1:]
    assert len(narrowed) == 2
    assert len(requests) == 3
    assert [record.metadata["sample"] for record in narrowed[::-1][:1]] == ["unidentified"]
    assert [record.metadata["sample"] for record in found[2:0:-1][1:]] == ["long"]
    assert list(found[::-1][5:]) == list(found[:0]) == list(found[2:1]) == []
    assert [record.metadata["sample"] for record in narrowed] == ["long", "unidentified"]
    assert [record.metadata["sample"] for record in found[::-1]] == ["unidentified", "long", "short"]
    assert found[-1].metadata["sample"] == narrowed[-1].metadata["sample"] == "unidentified"
    assert narrowed[5:9].to_dataframe().empty
    table = found.to_dataframe()
    assert all(path.startswith("search/analyses") for path in requests)
    assert list(table.columns) == list(COLUMNS)
    assert table["best_candidate"].tolist() == ["methionine sulfone", "isomer 0", "methionine sulfone"]
    assert table["inchikey"].tolist()[0] == SULFONE
    assert table["time"][2] == pd.Timestamp(DAY.timestamp(), unit="s", tz="UTC")
    with pytest.raises(IndexError, match="record 3 of 3"):
        found[3]


def test_a_record_is_loaded_whole_on_demand(catalog, keys, record):
    (found,) = search(catalog, sample="long")
    assert isinstance(found, FoundRecord)
    loaded, wanted = found.load(), listed(record, 60)
    assert loaded.ranking == wanted.ranking
    assert loaded.groups == wanted.groups
    assert loaded.predicted.inchikey == wanted.predicted.inchikey
    assert "ranking" not in found.metadata  # it would slow every search
    said = found.to_json()
    assert json.loads(json.dumps(said)) == said
    assert said["record"] == keys["long"]
    assert [entry["candidate"] for entry in said["ranking"]] == [f"isomer {index}" for index in range(60)]
    assert found.container["ranking"].read()["formula"][59] == "C2H6OS"
    assert said["groups"][29]["members"] == ["isomer 58", "isomer 59"]
    assert "short" in repr(search(catalog)[0])


@pytest.mark.usefixtures("keys")
def test_plots_show_what_was_measured_and_predicted(catalog, record):
    ax = search(catalog, sample="short")[0].plot()
    line = next(line for line in ax.lines if line.get_label() == "methionine sulfone, predicted")
    np.testing.assert_allclose(line.get_xdata(), record.predicted.energy - 1.25)
    np.testing.assert_allclose(line.get_ydata(), record.predicted.mean[0])
    (points,) = ax.containers
    assert len(points.lines[0].get_xdata()) == 13  # the last point weighs nothing
    overview = search(catalog).plot(ax=pyplot.figure().add_subplot())
    assert sorted(line.get_label() for line in overview.lines) == ["long", "short", "unidentified"]
    with pytest.raises(SpectrumError, match="before the measured points were kept"):
        search(catalog, sample="unidentified")[0].plot()
    pyplot.close("all")


@pytest.mark.usefixtures("keys")
def test_databroker_reads_them_too(url, tmp_path):
    (tmp_path / "profiles.yml").write_text(json.dumps({"beamline": {"uri": url.partition("?")[0] + "/api/v1"}}))
    script = f"""
from databroker import catalog
from xas_bluesky.results import search
(found,) = search(catalog["beamline"], candidate="{SULFONE}", min_probability=0.5)
record = found.load()
print(record.sample, len(record.predicted), record.raw_uid in catalog["beamline"]["runs"])
"""
    environment = {**os.environ, "TILED_PROFILES": str(tmp_path), "TILED_API_KEY": KEY}
    done = subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, text=True, timeout=120)
    assert done.stdout.split() == ["short", "3", "False"], done.stderr
