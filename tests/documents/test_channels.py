import pytest

import xas_bluesky.documents
from xas_bluesky.config import Channels
from xas_bluesky.documents import find_channels
from xas_bluesky.errors import SettingsError, SpectrumError

NUMBER = {"dtype": "number", "shape": [], "source": "SIM"}


def keys(*names):
    return dict.fromkeys(names, NUMBER)


def test_default_names_and_those_that_are_not_there():
    found = find_channels({}, keys("energy", "i0", "fluorescence", "other"), Channels())
    assert found == {"energy": "energy", "i0": "i0", "fluorescence": "fluorescence"}


def test_the_start_document_goes_before_the_settings():
    start = {"xas": {"channels": {"energy": "dcm_energy", "itrans": "It"}}}
    settings = Channels(energy="mono", i0="I0")
    found = find_channels(start, keys("dcm_energy", "mono", "I0", "It"), settings)
    assert found == {"energy": "dcm_energy", "i0": "I0", "itrans": "It"}


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
        find_channels({}, keys(*names), Channels())


@pytest.mark.parametrize("about", [{"dtype": "array", "shape": [5]}, {"dtype": "number", "external": "STREAM:"}])
def test_arrays_and_external_data_are_no_channels(about):
    with pytest.raises(SpectrumError, match="no absorption signal"):
        find_channels({}, {**keys("energy", "i0"), "fluorescence": {"source": "SIM", "shape": [], **about}}, Channels())


@pytest.mark.parametrize("said", ["dcm_energy", {"energie": "dcm"}, {"energy": 5}, {"energy": "i0"}])
def test_malformed_names_in_the_start_document(said):
    with pytest.raises(SettingsError, match=r"start\['xas'\]\['channels'\]"):
        find_channels({"xas": {"channels": said}}, keys("energy", "i0", "itrans"), Channels())


def test_public_names():
    names = xas_bluesky.documents.__all__
    assert names == sorted(names)
    assert all(hasattr(xas_bluesky.documents, name) for name in names)
