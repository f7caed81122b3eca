import pickle
from pathlib import Path

import msgpack
import numpy as np
import pytest

from xas_bluesky.files import read_spectrum
from xas_bluesky.live.messages import pack, pack_scan, unpack_scan, unpacker
from xas_bluesky.reduction import reduce_scan
from xas_bluesky.spectra import Spectrum

MEASURED = Path(__file__).parents[1] / "data" / "measured" / "quality" / "Hansel2001_Fe_foil_xanes_001.xdi"


def all_of(packed):
    messages = unpacker()
    messages.feed(packed)
    return list(messages)


def test_documents_come_out_as_plain_data():
    doc = {
        "a": np.float64(0.1),
        "b": np.arange(3),
        "c": np.array([[1.5, np.nan]]),
        "d": {"x", "y"},
        "e": Path("x/y"),
        "f": None,
    }
    (found,) = all_of(pack(["event", doc]))
    name, out = found
    assert name == "event"
    assert out["a"] == 0.1
    assert out["b"] == [0, 1, 2]
    assert out["c"][0][0] == 1.5
    assert np.isnan(out["c"][0][1])
    assert sorted(out["d"]) == ["x", "y"]
    assert (out["e"], out["f"]) == ("x/y", None)


def test_messages_may_come_in_pieces():
    packed = pack(["start", {"uid": "a"}]) + pack(["stop", {"run_start": "a"}])
    messages, found = unpacker(), []
    for byte in range(len(packed)):
        messages.feed(packed[byte : byte + 1])
        found.extend(messages)
    assert [name for name, _ in found] == ["start", "stop"]


@pytest.mark.parametrize("points", [0, 1, 20, None])
def test_a_scan_stays_what_it_is_to_the_last_bit(points):
    known = read_spectrum(MEASURED)
    channels = {name: values[:points] for name, values in known.channels.items()}
    scan = reduce_scan(Spectrum(known.energy[:points], channels, {"edge": "Fe K", "xdi": {"Sample.name": "foil"}}))
    again = unpack_scan(pack_scan(scan))
    assert pack_scan(again) == pack_scan(scan)
    assert again.stage == scan.stage
    assert again.unknown == scan.unknown
    assert np.array_equal(again.absorption.variance, scan.absorption.variance)
    assert (again.normalized is None) == (points is not None)
    assert again.remarks == scan.remarks


def test_nothing_but_arrays_of_numbers_is_made_of_extensions():
    for code, data in ((1, b"O" + pickle.dumps(print)), (5, b"d"), (1, b"")):
        with pytest.raises(ValueError, match="of a kind"):
            all_of(msgpack.packb(msgpack.ExtType(code, data)))
