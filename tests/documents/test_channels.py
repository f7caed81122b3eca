import pytest

import xas_bluesky.documents
from xas_bluesky.config import Channels, Settings
from xas_bluesky.documents import edge_of, find_channels
from xas_bluesky.documents.channels import relevant_keys, settings_of, xdi_metadata
from xas_bluesky.errors import SettingsError, SpectrumError

NUMBER = {"dtype": "number", "shape": [], "source": "SIM"}


def keys(*names):
    return dict.fromkeys(names, NUMBER)


def test_default_names_and_those_that_are_not_there():
    found = find_channels({}, keys("energy", "i0", "fluorescence", "other"), Settings())
    assert found == {"energy": "energy", "i0": "i0", "fluorescence": "fluorescence"}


def test_the_start_document_goes_before_the_settings():
    start = {"xas": {"edge": "Cu K", "channels": {"energy": "bragg", "itrans": "behind"}, "noise": {"i0": 2.0}}}
    settings = settings_of(start, Settings(channels=Channels(energy="mono", i0="before"), noise={"itrans": 3.0}))
    found = find_channels(start, keys("bragg", "mono", "before", "behind"), settings)
    assert found == {"energy": "bragg", "i0": "before", "itrans": "behind"}
    assert settings.noise == {"i0": 2.0, "itrans": 3.0}


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (("mono", "i0", "itrans"), r"no energy channel 'energy'.*i0, itrans, mono"),
        (("energy", "i0"), r"no absorption signal.*energy, i0"),
        (("energy", "itrans"), r"no absorption signal.*energy, itrans"),
        ((), r"\(none\)"),
    ],
)
def test_what_is_missing_and_what_is_there_is_said(names, message):
    with pytest.raises(SpectrumError, match=message):
        find_channels({}, keys(*names), Settings())


@pytest.mark.parametrize("dtype", ["string", "boolean"])
def test_what_is_no_number_is_no_channel(dtype):
    with pytest.raises(SpectrumError, match="no absorption signal"):
        find_channels({}, {**keys("energy", "i0"), "fluorescence": {**NUMBER, "dtype": dtype}}, Settings())


@pytest.mark.parametrize("named", ["mono_setpoint", "mono"])
@pytest.mark.parametrize("end", ["", "_readback", "_user_readback"])
def test_the_readback_is_taken_where_there_is_one(named, end):
    settings = Settings(channels=Channels(energy=named + (end if named == "mono" else "")))
    found = find_channels({}, keys("mono_setpoint", "mono" + end, "i0", "itrans"), settings)
    assert found["energy"] == "mono" + end
    assert found["energy_setpoint"] == "mono_setpoint"


def test_a_setpoint_alone_has_to_do():
    found = find_channels({}, keys("mono_setpoint", "i0", "itrans"), Settings(channels=Channels(energy="mono_setpoint")))
    assert found == {"energy": "mono_setpoint", "i0": "i0", "itrans": "itrans"}


def test_elements_of_a_detector():
    channels = Channels(fluorescence=("ge1", "ge2"), icr=("in1", "in2"), ocr=("out1", "out2"))
    found = find_channels({}, keys("energy", "i0", "ge1", "ge2", "in1", "out1"), Settings(channels=channels))
    assert found == {
        "energy": "energy", "i0": "i0", "fluorescence_1": "ge1", "fluorescence_2": "ge2", "icr_1": "in1", "ocr_1": "out1"
    }  # fmt: skip


def test_the_energy_is_the_axis_that_the_hints_name():
    start = {"hints": {"dimensions": [(["bragg_energy"], "primary")]}}
    assert find_channels(start, keys("bragg_energy", "i0", "itrans"), Settings())["energy"] == "bragg_energy"
    with pytest.raises(SpectrumError, match="no energy channel"):
        find_channels({"hints": {"dimensions": [(["x"], "primary")]}}, keys("x", "i0", "itrans"), Settings())


@pytest.mark.parametrize(
    "start",
    [
        {"xas": {"edge": "cu_k"}},
        {"XDI": {"Element": {"symbol": "Cu", "edge": "K"}}},
        {"element": "Cu", "edge": "K"},
        {"edge": "Cu_K"},
        {"E0": "Cu-K"},
    ],
)
def test_the_edge_in_the_words_of_many_beamlines(start):
    assert edge_of(start) == "Cu K"


def test_no_edge_said():
    assert edge_of({"edge": "K", "XDI": {"Element": {"symbol": "Xx"}}, "xas": 3}) is None


def test_xdi_fields_are_flat_texts():
    start = {"XDI": {"Mono": {"d_spacing": 3.13, "name": None}, "_kind": {"a": 1}, "Sample": {"_x": 1, "name": "foil"}}}
    assert xdi_metadata(start) == {"Mono.d_spacing": "3.13", "Sample.name": "foil"}
    assert xdi_metadata({"XDI": "none"}) == {}


@pytest.mark.parametrize("said", ["dcm_energy", {"energie": "dcm"}, {"energy": 5}, {"energy": "i0"}])
def test_malformed_names_in_the_start_document(said):
    with pytest.raises(SettingsError, match=r"start\['xas'\]: channels"):
        settings_of({"xas": {"channels": said}}, Settings())


def test_a_names_element_is_that_of_the_edge():
    start = {"xas": {"edge": "Fe K"}}
    settings = Settings(channels=Channels(fluorescence=("{element}_a", "{element}_b")))
    found = find_channels(start, keys("energy", "i0", "Fe_a", "Cu_b"), settings)
    assert found == {"energy": "energy", "i0": "i0", "fluorescence_1": "Fe_a"}
    with pytest.raises(SpectrumError, match="no absorption signal"):
        find_channels({}, keys("energy", "i0", "Fe_a"), settings)


def test_the_users_names_go_before_those_of_known_beamlines():
    there = keys("dcm_energy", "I0", "It", "energy", "i0", "itrans")
    assert find_channels({}, there, Settings())["energy"] == "energy"
    without = {key: about for key, about in there.items() if key != "i0"}
    assert find_channels({}, without, Settings())["energy"] == "dcm_energy"


def test_what_any_naming_calls_a_channel_is_kept():
    kept = relevant_keys(
        {}, {**keys("dcm_energy", "I0", "energy", "i0", "x"), "It": {**NUMBER, "dtype": "string"}}, Settings()
    )
    assert kept == {"energy": "energy", "i0": "i0", "dcm_energy": "energy", "I0": "i0"}


def test_public_names():
    names = xas_bluesky.documents.__all__
    assert names == sorted(names)
    assert all(hasattr(xas_bluesky.documents, name) for name in names)
