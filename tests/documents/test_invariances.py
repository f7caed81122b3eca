"""What a spectrum does not depend on: how, when and how often its documents arrive, and the unit of its energies."""

import event_model
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from xas_bluesky.config import Settings
from xas_bluesky.documents import Collector

SPACING = 3.1356
HC = 12398.419843320026
NUMBER = {"source": "SIM", "dtype": "number", "shape": []}
FOUR = {"source": "SIM", "dtype": "array", "shape": [4]}
SCANS = {
    "step": (
        {"xas": {"edge": "Cu K"}, "sample_name": "foil"},
        {"energy": NUMBER, "energy_setpoint": NUMBER, "i0": NUMBER, "itrans": NUMBER, "irefer": NUMBER, "dwell": NUMBER},
    ),
    "named by the start document": (
        {"xas": {"edge": "Cu K", "channels": {"energy": "bragg", "i0": "before", "fluorescence": "dots"}}},
        {"bragg": {**NUMBER, "units": "eV"}, "before": NUMBER, "dots": FOUR, "other": NUMBER},
    ),
    "named for the element": (
        {"XDI": {"Element": {"symbol": "Cu", "edge": "K"}, "Sample": {"name": "foil"}}},
        {"dcm_energy": NUMBER, "I0": NUMBER, "Cu1": NUMBER, "Cu2": NUMBER, "Cu8": NUMBER, "dwti_dwell_time": NUMBER},
    ),
    "named by the hints": (
        {"hints": {"dimensions": [(["my_energy"], "primary")]}, "edge": "Cu_K"},
        {"my_energy": NUMBER, "i0": NUMBER, "itrans": NUMBER},
    ),
}
quick = settings(deadline=None, max_examples=25)


@st.composite
def runs(draw, least=1):
    """Draw a run from start to stop: its documents, and the values it measured by data key."""
    metadata, data_keys = draw(st.sampled_from(list(SCANS.values())))
    points = draw(st.integers(least, 12))
    rng = np.random.default_rng(draw(st.integers(0, 999)))
    measured = {key: rng.uniform(1e3, 1e4, (points, *about["shape"])) for key, about in data_keys.items()}
    again = draw(st.integers(0, points))
    return compose(metadata, data_keys, measured, again), measured


def compose(metadata, data_keys, measured, described_again=0):
    """Compose a run of one stream; it may be described again after some points, as after a change of configuration."""
    run = event_model.compose_run(metadata=metadata)
    documents, stream = [("start", run.start_doc)], None
    for point, row in enumerate(zip(*measured.values(), strict=True)):
        if stream is None or (point and point == described_again):
            stream = run.compose_descriptor(name="primary", data_keys=data_keys)
            documents.append(("descriptor", stream.descriptor_doc))
        data = {key: value.tolist() for key, value in zip(measured, row, strict=True)}
        stamps = dict.fromkeys(data, 100.0 + point)
        documents.append(("event", stream.compose_event(data=data, timestamps=stamps, seq_num=point + 1)))
    documents.append(("stop", run.compose_stop()))
    return [(name, dict(doc)) for name, doc in documents]


def collect(*documents, configured=None):
    collector = Collector(configured)
    for name, doc in documents:
        collector(name, doc)
    return collector


def assert_same(documents, expected):
    run = next(doc["uid"] for name, doc in expected if name == "start")
    found, spectrum = collect(*documents).spectrum(run), collect(*expected).spectrum()
    np.testing.assert_array_equal(found.energy, spectrum.energy)
    assert found.channels.keys() == spectrum.channels.keys()
    for channel, values in spectrum.channels.items():
        np.testing.assert_array_equal(found.channels[channel], values, err_msg=channel)
    assert found.metadata == spectrum.metadata


def paged(data, documents):
    """Pack events of one descriptor that follow each other into pages of any size, some left as they are."""
    rest, given_out = list(documents), []
    while rest:
        name, doc = rest.pop(0)
        alike = [doc]
        size = data.draw(st.integers(0, 5)) if name == "event" else 0
        while size > len(alike) and rest and rest[0][0] == "event" and rest[0][1]["descriptor"] == doc["descriptor"]:
            alike.append(rest.pop(0)[1])
        given_out.append(("event_page", event_model.pack_event_page(*alike)) if size else (name, doc))
    return given_out


def repeated(data, documents):
    """Send some documents again, at once or later."""
    again = [(name, doc) for name, doc in documents if name != "stop" and data.draw(st.booleans())]
    places = [data.draw(st.integers(documents.index(item), len(documents))) for item in again]
    found = list(documents)
    for item, place in sorted(zip(again, places, strict=True), key=lambda pair: -pair[1]):
        found.insert(max(place, documents.index(item) + 1), item)
    return found


def shuffled_events(data, documents):
    events = iter(data.draw(st.permutations([item for item in documents if item[0] == "event"])))
    return [next(events) if name == "event" else (name, doc) for name, doc in documents]


def shuffled(data, documents):
    """Start, descriptors and events in any order."""
    return [*data.draw(st.permutations(documents[:-1])), documents[-1]]


def late(kind):
    def change(data, documents):
        first = next(place for place, (name, _) in enumerate(documents) if name == kind)
        place = data.draw(st.integers(first, len(documents) - 2))
        others = [*documents[:first], *documents[first + 1 :]]
        return [*others[:place], documents[first], *others[place:]]

    return change


def joined_half_way(data, documents):
    """Hear of a run half way, then read it from its start."""
    return [*documents[data.draw(st.integers(1, len(documents) - 1)) :], *documents]


def everything(data, documents):
    return paged(data, repeated(data, shuffled(data, documents)))


CHANGES = {
    "paged": paged,
    "repeated": repeated,
    "events in any order": shuffled_events,
    "start late": late("start"),
    "descriptor late": late("descriptor"),
    "any order": shuffled,
    "joined half way": joined_half_way,
    "all of it": everything,
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
@quick
@given(run=runs(), data=st.data())
def test_how_documents_arrive_does_not_matter(change, run, data):
    documents, _ = run
    assert_same(change(data, documents), documents)


@quick
@given(one=runs(), other=runs(), data=st.data())
def test_runs_in_between_do_not_matter(one, other, data):
    whose = data.draw(st.permutations([0] * len(one[0]) + [1] * len(other[0])))
    left = iter(one[0]), iter(other[0])
    mixed = [next(left[which]) for which in whose]
    for documents, _ in (one, other):
        assert_same(mixed, documents)


@quick
@given(run=runs())
def test_the_spectrum_holds_what_was_measured(run):
    documents, measured = run
    spectrum = collect(*documents).spectrum()
    energy, *columns = (spectrum.energy, *spectrum.channels.values())
    read = np.column_stack([values.reshape(len(energy), -1) for key, values in measured.items() if key != "other"])
    np.testing.assert_array_equal(np.sort(np.column_stack([energy, *columns]), axis=1), np.sort(read, axis=1))
    assert "missing" not in spectrum.metadata


@quick
@given(run=runs(least=4), data=st.data())
def test_points_that_were_not_received_are_counted_the_others_stay(run, data):
    documents, _ = run
    events = [doc for name, doc in documents if name == "event"]
    lost = data.draw(st.sets(st.sampled_from(range(len(events))), min_size=1, max_size=len(events) - 1))
    kept = [doc for number, doc in enumerate(events) if number not in lost]
    heard = [(name, doc) for name, doc in documents if name != "event" or doc in kept]
    spectrum = collect(*heard).spectrum()
    whole = collect(*documents).spectrum()
    assert spectrum.metadata["missing"] == len(lost)
    np.testing.assert_array_equal(spectrum.energy, np.delete(whole.energy, sorted(lost)))
    so_far = collect(*heard[:-1]).spectrum().metadata.get("missing", 0)
    assert so_far == len(lost) - (events[-1]["seq_num"] - kept[-1]["seq_num"])


def bragg(energy):
    return np.arcsin(HC / (2 * SPACING * energy))


UNITS = {
    "eV": lambda energy: energy,
    "keV": lambda energy: energy / 1e3,
    "rad": bragg,
    "deg": lambda energy: np.degrees(bragg(energy)),
    "mdeg": lambda energy: 1e3 * np.degrees(bragg(energy)),
}
said_by_documents = {"XDI": {"Mono": {"d_spacing": str(SPACING)}}}
energies = st.lists(st.floats(2.0e3, 8.0e4), min_size=1, max_size=8).map(np.array)


@pytest.mark.parametrize("unit", UNITS)
@quick
@given(energy=energies, scale=st.sampled_from([1.0, -1.0, 1e-4, 12.5]), described=st.booleans())
def test_units_do_not_matter(unit, energy, scale, described):
    readings = UNITS[unit](energy) / scale
    keys = {"energy": {**NUMBER, "units": unit} if described else NUMBER, "energy_setpoint": NUMBER, "i0": NUMBER}
    measured = {"energy": readings, "energy_setpoint": readings, "i0": energy, "itrans": energy}
    documents = compose(said_by_documents if described else {}, {**keys, "itrans": NUMBER}, measured)
    about = {"scale": scale} if described else {"scale": scale, "unit": unit, "d_spacing": SPACING}
    spectrum = collect(*documents, configured=Settings.read({"energy": about}, "test")).spectrum()
    np.testing.assert_allclose(spectrum.energy, energy, rtol=1e-9)
    np.testing.assert_allclose(spectrum.channels["energy_setpoint"], energy, rtol=1e-9)
    np.testing.assert_array_equal(spectrum.channels["i0"], energy)
