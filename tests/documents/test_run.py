"""Scans whose channels are in several streams, in arrays and in files."""

import contextlib
import re

import event_model
import h5py
import numpy as np
import pytest

from xas_bluesky.config import Settings
from xas_bluesky.documents import Collector
from xas_bluesky.errors import SpectrumError
from xas_bluesky.reduction import absorption, reduce_scan

HC = 12398.419843320026
SPACING = 3.1356
XAS = {"xas": {"edge": "Cu K"}, "sample_name": "foil"}
NUMBER = {"source": "SIM", "dtype": "number", "shape": []}
OUTSIDE = {"source": "SIM", "dtype": "number", "dtype_numpy": "<f8", "shape": [1], "external": "STREAM:"}
COLUMNS = ("energy", "i0", "itrans")


def array(*shape, **more):
    return {"source": "SIM", "dtype": "array", "dtype_numpy": "<f8", "shape": list(shape), **more}


class Scan:
    """Compose a run, and collect it at the same time."""

    def __init__(self, configured=None, **metadata):
        self.collector = Collector(configured)
        self.run = event_model.compose_run(metadata={**XAS, **metadata})
        self.documents = []
        self.give("start", self.run.start_doc)

    def give(self, name, doc):
        self.documents.append((name, dict(doc)))
        self.collector(name, doc)

    def stream(self, data_keys, name="primary"):
        bundle = self.run.compose_descriptor(name=name, data_keys=data_keys)
        self.give("descriptor", bundle.descriptor_doc)
        return bundle

    def point(self, stream, data, time=0.0, seq_num=None):
        stamps = dict.fromkeys(data, time)
        self.give("event", stream.compose_event(data=data, timestamps=stamps, time=time, seq_num=seq_num))

    def stop(self):
        self.give("stop", self.run.compose_stop())

    @property
    def spectrum(self):
        return self.collector.spectrum()

    @property
    def remarks(self):
        return self.collector.remarks()


def counts(points, seed=0):
    rng = np.random.default_rng(seed)
    return {
        "energy": 8900.0 + np.arange(points) + rng.uniform(0, 0.2, points),
        "i0": rng.uniform(1e5, 2e5, points),
        "itrans": rng.uniform(1e4, 2e4, points),
    }


def keys(*names):
    return dict.fromkeys(names, NUMBER)


def rows(columns, *names):
    names = names or tuple(columns)
    return [dict(zip(names, row, strict=True)) for row in zip(*(columns[name].tolist() for name in names), strict=True)]


def assert_holds(spectrum, columns, points=slice(None)):
    np.testing.assert_array_equal(spectrum.energy, columns["energy"][points])
    for name in columns.keys() - {"energy"}:
        np.testing.assert_array_equal(spectrum.channels[name], columns[name][points], err_msg=name)


# --- several streams


def flight(time):
    """Bragg angle (deg) of a mono that gets faster on its way down."""
    return 12.80 - 4e-3 * time - 4e-5 * time**2


def energy_at(angle):
    return HC / (2 * SPACING * np.sin(np.radians(angle)))


def mean_energy(begin, end):
    inside = begin + (end - begin) * (np.arange(400) + 0.5) / 400
    return float(energy_at(flight(inside)).mean())


@pytest.mark.parametrize("rate", [2.3, 7.0, 41.0])
@pytest.mark.parametrize("with_dwell", [True, False])
def test_a_fly_scan_has_the_mean_energy_of_the_encoder_within_each_dwell(rate, with_dwell):
    scan = Scan(XDI={"Mono": {"d_spacing": SPACING}})
    dwell, points = 0.8, 30
    counters = scan.stream(keys("i0", "itrans", *(("dwell",) if with_dwell else ())))
    encoder = scan.stream({"energy": {**NUMBER, "units": "deg"}}, "encoder")
    begin = 3.0
    ends = begin + dwell * (np.arange(points) + 1)
    reads = np.arange(begin - 1.7 / rate, ends[-1] + 1 / rate, 1 / rate)
    happenings = sorted([*((time, "read") for time in reads), *((time, "count") for time in ends)])
    truth = np.array([mean_energy(end - dwell, end) for end in ends])
    step = np.diff(truth).min()
    seen = 0
    for time, what in happenings:
        if what == "read":
            scan.point(encoder, {"energy": float(flight(time))}, time)
        else:
            data = {"i0": 1e5, "itrans": 1e4} | ({"dwell": dwell} if with_dwell else {})
            scan.point(counters, data, time)
        held = len(scan.collector.spectrum()) if seen > 1 else 0
        seen += what == "count"
        if held > 2:
            np.testing.assert_allclose(scan.spectrum.energy, truth[:held], atol=0.02 * step)
    scan.stop()
    assert len(scan.spectrum) == points
    assert "missing" not in scan.spectrum.metadata


def test_points_the_encoder_says_nothing_of_are_missing():
    scan = Scan()
    counters, encoder = scan.stream(keys("i0", "itrans", "dwell")), scan.stream(keys("energy"), "encoder")
    for time in np.arange(0.05, 4.0, 0.1):
        scan.point(encoder, {"energy": 8900.0 + float(time) if abs(time - 2.05) > 0.01 else None}, float(time))
    for end in np.arange(1.0, 7.0):
        scan.point(counters, {"i0": 1.0, "itrans": 1.0, "dwell": 1.0}, float(end))
    scan.stop()
    np.testing.assert_allclose(scan.spectrum.energy, 8900.5 + np.arange(4))
    assert scan.spectrum.metadata["missing"] == 2


def test_streams_read_point_by_point_are_joined_by_sequence_number_at_any_time():
    scan, columns = Scan(), counts(12)
    mono, counters = scan.stream(keys("energy"), "mono"), scan.stream(keys("i0", "itrans", "dwell"))
    dwells = np.where(np.arange(12) < 6, 0.5, 3.0)
    time = 100.0
    for number, row in enumerate(rows(columns)):
        scan.point(mono, {"energy": row["energy"]}, time)
        time += dwells[number] + 0.2
        scan.point(counters, {"i0": row["i0"], "itrans": row["itrans"], "dwell": dwells[number]}, time)
        assert_holds(scan.spectrum, columns, slice(number + 1))
        time += 0.3
    scan.stop()
    assert "missing" not in scan.spectrum.metadata


def test_streams_without_different_times_are_joined_by_sequence_number():
    scan, columns = Scan(), counts(7)
    counters, mono = scan.stream(keys("i0", "itrans")), scan.stream(keys("energy"), "mono")
    for row in rows(columns):
        scan.point(counters, {"i0": row["i0"], "itrans": row["itrans"]}, 5.0)
    for row in rows(columns):
        scan.point(mono, {"energy": row["energy"]}, 9.0)
    assert_holds(scan.spectrum, columns)


@pytest.mark.parametrize("mode", ["auto", "fluorescence"])
def test_the_signal_that_is_asked_for_may_be_in_another_stream(mode):
    scan, columns = Scan(Settings(mode=mode)), counts(5)
    primary, detector = scan.stream(keys(*COLUMNS)), scan.stream({"fluorescence": array(4)}, "detector")
    for number, row in enumerate(rows(columns)):
        scan.point(primary, row, number)
        scan.point(detector, {"fluorescence": [number, 1.0, 2.0, 3.0]}, number + 0.1)
    assert_holds(scan.spectrum, columns)
    assert ("fluorescence_1" in scan.spectrum.channels) == (mode == "fluorescence")


def test_the_baseline_holds_no_points():
    scan, columns = Scan(), counts(3)
    baseline = scan.stream(keys(*COLUMNS, "fluorescence"), "baseline")
    scan.point(baseline, {"energy": 1.0, "i0": 1.0, "itrans": 1.0, "fluorescence": 1.0})
    with pytest.raises(SpectrumError, match="no points yet"):
        _ = scan.spectrum
    primary = scan.stream(keys(*COLUMNS))
    for row in rows(columns):
        scan.point(primary, row)
    assert_holds(scan.spectrum, columns)
    assert set(scan.spectrum.channels) == {"i0", "itrans"}


def test_a_stream_whose_channels_change_keeps_the_points_before_and_says_so():
    scan, columns = Scan(), counts(6)
    first = scan.stream(keys(*COLUMNS))
    for row in rows(columns)[:4]:
        scan.point(first, row)
    described = {**first.descriptor_doc, "uid": "again", "data_keys": keys("energy", "i0", "fluorescence")}
    scan.give("descriptor", described)
    data = {"energy": 1.0, "i0": 2.0, "fluorescence": 3.0}
    scan.give("event", {"descriptor": "again", "seq_num": 5, "time": 1.0, "data": data, "timestamps": {}, "uid": "a"})
    scan.give("event", {**first.compose_event(data=rows(columns)[4], timestamps=dict.fromkeys(COLUMNS, 0.0)), "seq_num": 6})
    assert_holds(scan.spectrum, columns, slice(5))
    assert scan.spectrum.metadata["missing"] == 1
    (remark,) = scan.remarks
    assert "stream primary: its channels changed during the run, from energy, i0, itrans to energy, i0, fluorescence" in remark


def test_metadata_of_a_run_is_what_its_documents_say():
    xdi = {"Element": {"symbol": "Cu", "edge": "K"}, "Sample": {"name": "foil"}, "Mono": {"d_spacing": 3.1}}
    scan = Scan(XDI=xdi, sample_name=None, scan_id=5)
    stream = scan.stream(keys(*COLUMNS))
    for number in (3, 4, 7):
        scan.point(stream, {"energy": 9000.0, "i0": 2.0, "itrans": 1.0}, seq_num=number)
    start = scan.run.start_doc
    about = {
        "uid": start["uid"],
        "edge": "Cu K",
        "sample": "foil",
        "start_time": start["time"],
        "missing": 4,
        "xdi": {"Element.symbol": "Cu", "Element.edge": "K", "Sample.name": "foil", "Mono.d_spacing": "3.1"},
    }
    assert scan.spectrum.metadata == about
    scan.give("stop", {**scan.run.compose_stop(exit_status="abort"), "num_events": {"primary": 9}, "time": 12.0})
    assert scan.spectrum.metadata == {**about, "missing": 6, "exit_status": "abort", "stop_time": 12.0}


# --- arrays in events


@pytest.mark.parametrize("shape", [(4,), (1, 4), (4, 1)])
def test_elements_in_one_array_have_their_rates_beside_them(shape):
    about = {"channels": {"fluorescence": "dots", "icr": ["in"], "ocr": ["out"]}}
    scan = Scan(Settings.read(about, "test"))
    stream = scan.stream({**keys("energy", "i0"), "dots": array(*shape), "in": array(*shape), "out": array(*shape)})
    true, dead = np.array([10.0, 20.0, 30.0, 0.0]), np.array([0.5, 0.8, 1.0, 1.0])
    for energy in (9000.0, 9001.0):
        data = {"dots": true * dead, "in": true, "out": true * dead}
        data = {key: values.reshape(shape).tolist() for key, values in data.items()}
        scan.point(stream, {"energy": energy, "i0": 1.0, **data})
    channels = scan.spectrum.channels
    assert set(channels) == {"i0"} | {f"{kind}_{n}" for kind in ("fluorescence", "icr", "ocr") for n in (1, 2, 3, 4)}
    np.testing.assert_allclose(absorption(scan.spectrum).mu, 60.0)


def test_two_detectors_of_several_elements_are_counted_on():
    about = {"channels": {"fluorescence": ["left", "right"], "icr": ["l", "r"], "ocr": ["lo", "ro"]}}
    scan = Scan(Settings.read(about, "test"))
    pairs = {key: array(2) for key in ("left", "right", "l", "r", "lo", "ro")}
    stream = scan.stream({**keys("energy", "i0"), **pairs})
    lists = {"left": [1, 2], "right": [3, 4], "l": [2, 2], "r": [2, 2], "lo": [1, 1], "ro": [2, 2]}
    scan.point(stream, {"energy": 9000.0, "i0": 1.0, **lists})
    assert [scan.spectrum.channels[f"fluorescence_{n}"][0] for n in (1, 2, 3, 4)] == [1, 2, 3, 4]
    assert absorption(scan.spectrum).mu == pytest.approx([2 + 4 + 3 + 4])


def test_one_element_has_its_dead_time_corrected():
    scan = Scan(Settings.read({"channels": {"fluorescence": "dot", "icr": ["in"], "ocr": ["out"]}}, "test"))
    stream = scan.stream(keys("energy", "i0", "dot", "in", "out"))
    scan.point(stream, {"energy": 9000.0, "i0": 1.0, "dot": 5.0, "in": 20.0, "out": 10.0})
    assert absorption(scan.spectrum).mu == pytest.approx([10.0])


def test_a_single_element_that_is_not_the_first_is_a_detector():
    scan = Scan(Settings.read({"convention": "bmm"}, "test"))
    stream = scan.stream(keys("dcm_energy", "I0", "Cu8"))
    scan.point(stream, {"dcm_energy": 9000.0, "I0": 2.0, "Cu8": 8.0})
    assert set(scan.spectrum.channels) == {"i0", "fluorescence_8"}
    assert absorption(scan.spectrum).mu == pytest.approx([4.0])


def test_the_counts_of_the_line_are_added_up_in_each_element():
    scan = Scan(Settings.read({"fluorescence": {"roi": [2, 4]}}, "test"))
    stream = scan.stream({**keys("energy", "i0"), "fluorescence": array(1, 3, 8)})
    bins = np.arange(24.0).reshape(1, 3, 8)
    scan.point(stream, {"energy": 9000.0, "i0": 1.0, "fluorescence": bins.tolist()})
    assert [scan.spectrum.channels[f"fluorescence_{n}"][0] for n in (1, 2, 3)] == [9.0, 33.0, 57.0]


@pytest.mark.parametrize(
    ("roi", "shape", "remark"),
    [
        (None, (4, 64), r"fluorescence is left out: fluorescence holds whole spectra, of shape \(4, 64\)"),
        ([60, 64], (4, 64), r"has 64 bins, \[fluorescence\] roi = \[60, 64\] is not among them"),
        ([60, 50], (4, 64), r"has 64 bins, \[fluorescence\] roi = \[60, 50\] is not among them"),
        ([400, 420], (4,), r"has 4 bins, \[fluorescence\] roi = \[400, 420\] is not among them"),
        (None, (4, None), "no fixed shape"),
    ],
)
def test_spectra_that_cannot_be_read_are_said_and_the_transmission_is_not_lost(roi, shape, remark):
    scan, columns = Scan(Settings.read({"fluorescence": {"roi": roi}}, "test")), counts(3)
    stream = scan.stream({**keys(*COLUMNS), "fluorescence": array(*shape)})
    for row in rows(columns):
        scan.point(stream, {**row, "fluorescence": [1.0]})
    assert_holds(scan.spectrum, columns)
    assert "fluorescence" not in scan.spectrum.channels
    (said,) = scan.remarks
    assert re.search(remark, said)
    alone = Scan(Settings.read({"fluorescence": {"roi": roi}}, "test"))
    alone.stream({**keys("energy", "i0"), "fluorescence": array(*shape)})
    with pytest.raises(SpectrumError, match=f"no absorption signal.*{remark}"):
        _ = alone.spectrum


@pytest.mark.parametrize("value", [None, [], [1.0, 2.0], [[1.0] * 5] * 4, [[1.0, 2.0], [3.0]], "disconnected", [None] * 4])
def test_a_value_of_another_shape_than_described_is_no_number(value):
    scan = Scan()
    stream = scan.stream({**keys("energy", "i0"), "fluorescence": array(4)})
    scan.point(stream, {"energy": 9000.0, "i0": 1.0, "fluorescence": [1.0, 2.0, 3.0, 4.0]})
    scan.point(stream, {"energy": 9001.0, "i0": 1.0, "fluorescence": value})
    read = [scan.spectrum.channels[f"fluorescence_{n}"].tolist() for n in (1, 2, 3, 4)]
    np.testing.assert_array_equal(read, [[n, np.nan] for n in (1.0, 2.0, 3.0, 4.0)])
    (flagged,) = absorption(scan.spectrum).flags.items()
    assert flagged[0] == "not a number"
    assert flagged[1].tolist() == [False, True]


@pytest.mark.parametrize("value", [[], [8999.0, 9000.0, 9001.0], "moving"])
def test_the_energy_may_be_samples_within_the_integration(value):
    scan = Scan()
    stream = scan.stream({"energy": array(3), **keys("i0", "itrans")})
    scan.point(stream, {"energy": value, "i0": 2.0, "itrans": 1.0})
    expected = 9000.0 if len(value) == 3 else np.nan
    np.testing.assert_array_equal(scan.spectrum.energy, [expected])


# --- files


class File:
    """Be written by a detector while it is read, and announced in stream documents."""

    def __init__(self, scan, path, columns, stream="primary", **parameters):
        self.scan, self.path, self.columns = scan, path, columns
        about = {
            key: OUTSIDE if values.ndim == 1 else array(*values.shape[1:], external="STREAM:")
            for key, values in columns.items()
        }
        self.stream = scan.stream(about, stream)
        self.resources = {}
        for key in columns:
            resource = event_model.compose_stream_resource(
                mimetype="application/x-hdf5",
                uri=f"file://localhost{path}",
                data_key=key,
                parameters={"dataset": f"/{key}", "chunk_shape": [5], **parameters},
                start=scan.run.start_doc,
            )
            scan.give("stream_resource", resource.stream_resource_doc)
            self.resources[key] = resource
        self.announced = 0

    def write(self, points):
        """Write the first points, in a file of its own."""
        with h5py.File(self.path, "w") as file:
            for key, values in self.columns.items():
                file.create_dataset(key, data=values[:points], maxshape=(None, *values.shape[1:]), chunks=True)

    def announce(self, points, only=None):
        for key in only or self.resources:
            indices = {"start": self.announced, "stop": points}
            seq_nums = {"start": self.announced + 1, "stop": points + 1}
            datum = self.resources[key].compose_stream_datum(indices=indices)
            self.scan.give("stream_datum", {**datum, "descriptor": self.stream.descriptor_doc["uid"], "seq_nums": seq_nums})
        self.announced = points


def test_a_file_that_grows_is_read_as_far_as_it_was_announced(tmp_path):
    scan, columns = Scan(), counts(20)
    file = File(scan, tmp_path / "fly.h5", columns)
    with h5py.File(file.path, "w", libver="latest") as written:
        sets = {key: written.create_dataset(key, (0,), "<f8", maxshape=(None,), chunks=(4,)) for key in columns}
        written.swmr_mode = True
        for points in (8, 20):
            for key, data in sets.items():
                data.resize((points,))
                data[:] = columns[key][:points]
                data.flush()
            if points == 20:
                assert len(scan.spectrum) == 8  # the rest is written, but not announced
            file.announce(points)
            assert_holds(scan.spectrum, columns, slice(points))
    assert scan.remarks == ()
    again = Collector()
    for name, doc in scan.documents[-3:] + scan.documents[:-3] + scan.documents[-6:]:
        again(name, doc)
    assert_holds(again.spectrum(), columns)


def test_channels_of_several_files_are_held_back_until_each_is_there(tmp_path):
    scan, columns = Scan(), counts(10)
    file = File(scan, tmp_path / "one.h5", columns)
    file.write(10)
    file.announce(6)
    file.announce(10, only=["energy", "i0"])
    assert_holds(scan.spectrum, columns, slice(6))
    assert scan.spectrum.metadata.get("missing") is None


def test_a_file_that_is_not_there_yet_is_said_and_read_once_it_is(tmp_path):
    scan, columns = Scan(), counts(10)
    file = File(scan, tmp_path / "late.h5", columns)
    file.announce(10)
    for _ in range(2):
        with pytest.raises(SpectrumError, match=r"no points yet: energy cannot be read from its file .*; i0 cannot"):
            _ = scan.spectrum
    assert len(scan.remarks) == 3
    file.write(10)
    assert_holds(scan.spectrum, columns)
    assert scan.remarks == ()


def test_a_file_cut_short_is_said_and_read_once_it_is_whole(tmp_path):
    scan, columns = Scan(), counts(10)
    file = File(scan, tmp_path / "short.h5", columns)
    file.write(10)
    whole = file.path.read_bytes()
    file.path.write_bytes(whole[: len(whole) // 2])
    file.announce(10)
    with pytest.raises(SpectrumError, match="energy cannot be read from its file"):
        _ = scan.spectrum
    file.write(7)
    with pytest.raises(SpectrumError, match="7"):
        _ = scan.spectrum
    file.path.write_bytes(whole)
    assert_holds(scan.spectrum, columns)


def test_a_signal_whose_file_never_comes_leaves_the_others(tmp_path):
    scan = Scan()
    columns = {**counts(4), "fluorescence": np.arange(4.0)}
    file = File(scan, tmp_path / "here.h5", columns)
    file.columns = {key: columns[key] for key in COLUMNS}
    file.write(4)
    file.announce(4)
    assert_holds(scan.spectrum, file.columns)
    assert any("fluorescence cannot be read" in remark for remark in scan.remarks)
    found = reduce_scan(scan.spectrum, remarks=scan.remarks)
    assert any("fluorescence cannot be read" in remark for remark in found.remarks)


@pytest.mark.parametrize("shape", [(4,), (1, 4), (1, 4, 64), (4, 64)])
def test_a_detector_writes_arrays_into_files_beside_the_events(tmp_path, shape):
    whole_spectra = shape[-1] == 64
    scan, columns = Scan(Settings.read({"fluorescence": {"roi": [3, 5] if whole_spectra else None}}, "test")), counts(6)
    values = np.random.default_rng(3).integers(0, 1000, (6, *shape)).astype(float)
    counters = scan.stream(keys("energy", "i0"), "primary")
    file = File(scan, tmp_path / "dots.h5", {"fluorescence": values}, "dots", swmr=False)
    file.write(6)
    for row in rows(columns, "energy", "i0"):
        scan.point(counters, row)
    file.announce(6)
    elements = (values.reshape(6, 4, 64)[:, :, 3:6].sum(axis=2) if whole_spectra else values.reshape(6, 4)).T
    for number, element in enumerate(elements, 1):
        np.testing.assert_array_equal(scan.spectrum.channels[f"fluorescence_{number}"], element)
    np.testing.assert_array_equal(scan.spectrum.energy, columns["energy"])


def test_a_run_joined_after_its_files_were_announced_says_so(tmp_path):
    scan, columns = Scan(), counts(5)
    file = File(scan, tmp_path / "missed.h5", columns)
    file.write(5)
    file.announce(5)
    half = Collector()
    for name, doc in scan.documents:
        if name != "stream_resource":
            half(name, doc)
    with pytest.raises(SpectrumError, match="joined half way"):
        half.spectrum()
    undescribed = Collector()
    for name, doc in scan.documents:
        if name not in ("start", "descriptor", "stream_resource"):
            undescribed(name, doc)
    assert undescribed.strangers == {file.stream.descriptor_doc["uid"]}
    for collector in (half, undescribed):
        for name, doc in scan.documents:
            collector(name, doc)
        assert_holds(collector.spectrum(), columns)


def older(tmp_path, columns, *, frames, files=1):
    """Compose a scan whose fluorescence is in older resource and datum documents, a row of a file each."""
    scan = Scan()
    about = array(4, external="FILESTORE:")
    stream = scan.stream({**keys("energy", "i0"), "fluorescence": about})
    per_file = -(-len(columns["energy"]) // files)
    for number, row in enumerate(rows(columns, "energy", "i0")):
        place, of = number % per_file, number // per_file
        if place == 0:
            name = f"dots{of}.h5"
            with h5py.File(tmp_path / name, "w") as file:
                file["entry/data/data"] = columns["fluorescence"][of * per_file : (of + 1) * per_file]
            resource = event_model.compose_resource(
                spec="AD_HDF5", root=str(tmp_path), resource_path=name, resource_kwargs={}, start=scan.run.start_doc
            )
            scan.give("resource", resource.resource_doc)
        datum = resource.compose_datum(datum_kwargs={frames: place})
        scan.give("datum", datum)
        event = stream.compose_event(
            data={**row, "fluorescence": datum["datum_id"]},
            timestamps=dict.fromkeys([*row, "fluorescence"], float(number)),
            filled={"fluorescence": False},
        )
        scan.give("event", event)
    scan.stop()
    return scan


def assert_elements(spectrum, columns):
    np.testing.assert_array_equal(spectrum.energy, columns["energy"])
    found = np.column_stack([spectrum.channels[f"fluorescence_{n}"] for n in (1, 2, 3, 4)])
    np.testing.assert_array_equal(found, columns["fluorescence"])
    assert "missing" not in spectrum.metadata


def events_first(documents):
    """Events before the datums that they point to."""
    return sorted(documents, key=lambda item: ["start", "descriptor", "resource", "event", "datum", "stop"].index(item[0]))


def backwards(documents):
    order = ["start", "descriptor", "resource", "datum", "event", "stop"]
    found = documents[::-1]
    found.sort(key=lambda item: order.index(item[0]))
    return found


def twice(documents):
    return [item for item in documents for _ in (1, 2)]


def halves(documents):
    return [*documents[9:], *documents]


def one_page(documents):
    events = [doc for name, doc in documents if name == "event"]
    others = [item for item in documents if item[0] != "event"]
    return [*others[:-1], ("event_page", event_model.pack_event_page(*events)), others[-1]]


@pytest.mark.parametrize("files", [1, 2, 3])
@pytest.mark.parametrize("frames", ["point_number", "frame"])
def test_older_resource_and_datum_documents(tmp_path, frames, files):
    columns = {**counts(6), "fluorescence": np.arange(24.0).reshape(6, 4)}
    assert_elements(older(tmp_path, columns, frames=frames, files=files).spectrum, columns)


@pytest.mark.parametrize("order", [events_first, backwards, twice, halves, one_page])
@pytest.mark.parametrize("often", [True, False])
def test_older_documents_in_any_order(tmp_path, order, often):
    columns = {**counts(6), "fluorescence": np.arange(24.0).reshape(6, 4)}
    scan, collector = older(tmp_path, columns, frames="frame", files=2), Collector()
    for name, doc in order(scan.documents):
        collector(name, doc)
        with contextlib.suppress(SpectrumError):
            assert not often or len(collector.spectrum(scan.run.start_doc["uid"])) <= 6
    assert_elements(collector.spectrum(), columns)
    assert collector.remarks() == ()


def test_points_measured_again_after_a_pause_take_the_place_of_the_first(tmp_path):
    columns = {**counts(4), "fluorescence": np.arange(16.0).reshape(4, 4)}
    scan = older(tmp_path, columns, frames="frame")
    last = scan.documents[-2][1]
    again = {**last, "uid": "again", "data": {**last["data"], "energy": 8999.0, "fluorescence": first_datum(scan)}}
    scan.give("event", again)
    assert scan.spectrum.energy[-1] == 8999.0
    assert scan.spectrum.channels["fluorescence_1"][-1] == columns["fluorescence"][-1, 0]
    with_datum = next(doc for name, doc in scan.documents if name == "datum")
    scan.give("datum", with_datum)
    scan.give("event", again)
    assert scan.spectrum.channels["fluorescence_1"].tolist() == [0.0, 4.0, 8.0, 0.0]


def first_datum(scan):
    return next(doc["datum_id"] for name, doc in scan.documents if name == "datum")


@pytest.mark.parametrize(
    ("name", "doc"),
    [
        ("resource", {"uid": "r", "spec": "AD_HDF5"}),
        ("resource", {"uid": "r", "spec": 5, "root": "", "resource_path": "x", "resource_kwargs": {}}),
        ("stream_resource", {"uid": "s", "data_key": "i0", "mimetype": "application/x-hdf5"}),
        ("stream_resource", {"uid": "s", "data_key": "i0", "mimetype": "no/such", "uri": "x", "parameters": {}}),
    ],
)
def test_a_document_that_cannot_be_used_is_said_and_the_rest_is_read(tmp_path, name, doc):
    scan, columns = Scan(), counts(5)
    file = File(scan, tmp_path / "fine.h5", columns)
    file.write(5)
    scan.give(name, {**doc, "run_start": scan.run.start_doc["uid"]})
    if name == "stream_resource":
        numbers = {"indices": {"start": 0, "stop": 5}, "seq_nums": {"start": 1, "stop": 6}}
        scan.give(
            "stream_datum", {"uid": "s/0", "stream_resource": "s", "descriptor": file.stream.descriptor_doc["uid"], **numbers}
        )
    file.announce(5)
    assert_holds(scan.spectrum, columns)
    assert any("cannot be used" in remark or "cannot be read" in remark for remark in scan.remarks)
