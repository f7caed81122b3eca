import json
from pathlib import Path

import numpy as np
import pytest

from xas_bluesky.config import Settings, conventions
from xas_bluesky.documents import Collector
from xas_bluesky.files.spectrum_file import read_spectrum

RUNS = Path(__file__).parent / "runs"
PLACEHOLDER = "file://localhost/diamond.h5"
MEASURED = read_spectrum(Path(__file__).parents[1] / "data" / "measured" / "Cu2S_13K_thinned.xdi")
COUNTERS = ("i0", "itrans", "irefer")
BMM_SCALE = 1e-3
"""BMM's example has the counts as nA s."""
EVERY = ("bmm", "haven", "diamond")


def recorded(name):
    """Read a run, its files where they lie."""
    text = (RUNS / f"{name}.jsonl").read_text(encoding="utf-8")
    at = (RUNS / "diamond.h5").as_uri().replace("file://", "file://localhost")
    return [(line["name"], line["doc"]) for line in map(json.loads, text.replace(PLACEHOLDER, at).splitlines())]


def collect(documents, settings=None):
    collector = Collector(settings)
    for name, doc in documents:
        collector(name, doc)
    return collector


def convention(name, **tables):
    return Settings.read({"convention": name, **tables}, "test")


def with_and_without(name):
    return [pytest.param(convention(name), id="convention"), pytest.param(None, id="no settings")]


def assert_measured(spectrum, scale=1.0, points=slice(None), energy=1e-3):
    np.testing.assert_allclose(spectrum.energy, MEASURED.energy[points], atol=energy)
    for channel in COUNTERS:
        np.testing.assert_allclose(spectrum.channels[channel], MEASURED.channels[channel][points] * scale, rtol=1e-9)


def test_the_ready_mappings_are_these():
    assert set(conventions()) == set(EVERY)


@pytest.mark.parametrize("name", EVERY)
def test_a_ready_mapping_is_valid_and_the_users_names_go_before_it(name):
    ready = convention(name)
    assert ready.channels.energy == conventions()[name]["channels"]["energy"]
    own = convention(name, channels={"i0": "monitor"})
    assert own.channels.i0 == "monitor"
    assert own.channels.itrans == ready.channels.itrans != Settings().channels.itrans


@pytest.mark.parametrize(
    ("name", "settings"),
    [pytest.param(name, *param.values, id=f"{name}-{param.id}") for name in EVERY for param in with_and_without(name)],
)
def test_a_recorded_run_gives_the_measured_spectrum(name, settings):
    spectrum = collect(recorded(name), settings).spectrum()
    assert_measured(spectrum, BMM_SCALE if name == "bmm" else 1.0)
    assert spectrum.metadata["edge"] == "Cu K"
    assert spectrum.metadata["sample"] == "Cu2S"
    assert spectrum.metadata["exit_status"] == "success"


@pytest.mark.parametrize("settings", with_and_without("bmm"))
def test_bmm_has_its_elements_dwell_and_setpoint_beside_the_readback(settings):
    channels = collect(recorded("bmm"), settings).spectrum().channels
    assert set(channels) == {*COUNTERS, "dwell", "energy_setpoint", *(f"fluorescence_{element}" for element in (1, 2, 3, 4))}
    mu = np.log(MEASURED.channels["i0"] / MEASURED.channels["itrans"])
    for element, share in enumerate((0.27, 0.24, 0.25, 0.24), 1):
        counts = share * 4.0 * MEASURED.channels["i0"] * (mu - mu.min() + 0.02)
        np.testing.assert_allclose(channels[f"fluorescence_{element}"], counts, atol=0.5)
    assert set(channels["dwell"]) == {0.5, 1.0}
    off = channels["energy_setpoint"] - MEASURED.energy
    assert 0.01 < np.abs(off).mean() < 0.2


def test_bmm_says_what_it_knows_as_xdi():
    xdi = collect(recorded("bmm"), convention("bmm")).spectrum().metadata["xdi"]
    assert xdi["Element.symbol"] == "Cu"
    assert float(xdi["Mono.d_spacing"]) == pytest.approx(3.1356)
    assert not any(name.startswith("_") for name in xdi)


def test_haven_is_read_in_ev_by_the_monochromator_not_as_asked_for_nor_by_the_undulator():
    documents = recorded("haven")
    spectrum = collect(documents, convention("haven")).spectrum()
    page = next(doc for name, doc in documents if name == "event_page")
    read = page["data"]["monochromator-energy"]
    assert spectrum.energy[: len(read)].tolist() == read
    assert min(abs(np.subtract(page["data"]["undulator-energy"], read))) > 1.0
    asked = np.array(documents[0][1]["plan_args"]["args"][1])
    assert len(asked) == len(spectrum)
    assert np.abs(asked - spectrum.energy).max() > 0.05
    assert set(spectrum.channels["dwell"]) == {0.5}


@pytest.mark.parametrize("settings", with_and_without("haven"))
def test_haven_flies_the_energy_in_a_stream_of_its_own(settings):
    near = (MEASURED.energy > 8967.0) & (MEASURED.energy < 9006.0)
    spectrum = collect(recorded("haven_fly"), settings).spectrum()
    assert_measured(spectrum, points=near, energy=0.04)  # where the step changes, this readback jumps between two points
    np.testing.assert_allclose(spectrum.energy[3:], MEASURED.energy[near][3:], atol=2e-3)


def test_diamond_needs_unit_and_lattice_spacing_from_the_settings_when_the_documents_do_not_say():
    documents = recorded("diamond")
    for name, doc in documents:
        if name == "start":
            del doc["XDI"]["Mono"]
        elif name == "descriptor" and "bragg" in doc["data_keys"]:
            del doc["data_keys"]["bragg"]["units"]
    own = convention("diamond", energy={"unit": "deg", "d_spacing": 3.1356})
    assert_measured(collect(documents, own).spectrum())


def test_diamond_grows_with_each_piece():
    documents = recorded("diamond")
    collector = Collector(convention("diamond"))
    seen = []
    for name, doc in documents:
        collector(name, doc)
        if name == "stream_datum" and doc["stream_resource"] == resource_of("iref", documents):
            seen.append(len(collector.spectrum()))
    assert seen == [40, 75, len(MEASURED)]


def resource_of(key, documents):
    return next(doc["uid"] for name, doc in documents if name == "stream_resource" and doc["data_key"] == key)
