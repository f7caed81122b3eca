"""A real proxy in a process of its own, a real RunEngine, and real CURVE keys."""

import pickle
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import msgpack
import numpy as np
import pytest
import zmq
import zmq.auth
from bluesky import RunEngine
from bluesky.callbacks.zmq import Publisher as BlueskyPublisher
from bluesky.plans import count
from event_model import sanitize_doc
from ophyd.sim import SynSignal

from xas_bluesky.errors import SettingsError
from xas_bluesky.live.zmq_feed import Publisher, decode, encode, follow_zmq


def wait_for(condition: Callable[[], object], seconds: float = 10) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.005)


@contextmanager
def following(address: str, keys: Path | None) -> Iterator[list[tuple[str, dict]]]:
    received: list[tuple[str, dict]] = []
    stop = threading.Event()
    thread = threading.Thread(target=follow_zmq, args=(address, keys, lambda *document: received.append(document), stop))
    thread.start()
    try:
        yield received
    finally:
        stop.set()
        thread.join()


def greet(publish: Callable[[str, dict], object], received: list[tuple[str, dict]]) -> None:
    """Publish until the subscription has found its way through the proxy."""
    deadline = time.monotonic() + 10
    while not received:
        assert time.monotonic() < deadline
        publish("stop", {"greeting": True})
        time.sleep(0.02)


def without_greetings(received: list[tuple[str, dict]]) -> list[tuple[str, dict]]:
    return [(name, doc) for name, doc in received if "greeting" not in doc]


@pytest.fixture
def keys(tmp_path: Path) -> Path:
    """Keys of a proxy, of a publisher and a reader that it knows, and of a stranger."""
    for folder in ("proxy", "known"):
        (tmp_path / folder).mkdir()
    public, _ = zmq.auth.create_certificates(tmp_path / "proxy", "server")
    for name in ("publisher", "reader", "stranger"):
        (tmp_path / name).mkdir()
        own, secret = zmq.auth.create_certificates(tmp_path / name, name)
        Path(secret).chmod(0o600)
        (tmp_path / name / "server.key").write_text(Path(public).read_text())
        if name != "stranger":
            (tmp_path / "known" / f"{name}.key").write_text(Path(own).read_text())
    return tmp_path


def test_run_arrives_whole_under_keys_and_a_stranger_gets_nothing(keys, proxy):
    engine = RunEngine({}, call_returns_result=True)
    documents = []
    spectrum = SynSignal(lambda: np.arange(5) * np.float32(0.5), name="spectrum")
    counts = SynSignal(lambda: np.int64(7), name="counts")
    with proxy(str(keys)) as (incoming, outgoing):
        publisher = Publisher(incoming, keys / "publisher")
        forger = Publisher(incoming, keys / "stranger")
        with following(outgoing, keys / "reader") as received, following(outgoing, keys / "stranger") as overheard:
            wait_for(lambda: publisher.connected)
            greet(publisher, received)
            engine.subscribe(lambda name, doc: documents.append((name, sanitize_doc(doc))))
            engine.subscribe(publisher)
            engine.subscribe(forger)
            engine(count([counts, spectrum], num=20), grating={"lines": np.float64(2.5), "angles": (1, 2)})
            wait_for(lambda: received[-1][0] == "stop" and "greeting" not in received[-1][1])
        assert not forger.connected
        assert not overheard
        publisher.close()
        forger.close()
    assert without_greetings(received) == documents
    assert documents[0][1]["grating"] == {"lines": 2.5, "angles": [1, 2]}
    assert type(documents[2][1]["data"]["spectrum"]) is list


class Payload:
    """What a pickle may do to whoever reads it."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self):
        return Path.touch, (self.mark,)

    def __deepcopy__(self, _: object):  # which Bluesky's publisher makes
        return self


def test_pickles_are_refused_and_never_run(tmp_path, caplog, proxy):
    assert pickle.loads(pickle.dumps(Payload(tmp_path / "harmless"))) is None  # noqa: S301
    assert (tmp_path / "harmless").exists()
    with proxy() as (incoming, outgoing), following(outgoing, None) as received:
        publisher = Publisher(incoming, None)
        pickling = BlueskyPublisher(incoming)
        greet(publisher, received)
        doc = {"payload": Payload(tmp_path / "mark")}
        wait_for(lambda: pickling("start", doc) or "may be a pickle" in caplog.text)
        publisher("event", {"seq_num": 1})
        wait_for(lambda: received[-1] == ("event", {"seq_num": 1}))
        publisher.close()
        pickling.close()
    assert not (tmp_path / "mark").exists()
    assert len([record for record in caplog.records if "may be a pickle" in record.message]) == 1
    assert not [name for name, _ in received if name == "start"]


@pytest.mark.parametrize(
    ("message", "reason"),
    [
        (b"", "no message of a Bluesky publisher"),
        (b"one two", "no message of a Bluesky publisher"),
        (b" \xff\xfe {}", "no message of a Bluesky publisher"),
        (b" __import__ " + msgpack.packb({}), "none of a Bluesky document"),
        (b" event " + pickle.dumps({"seq_num": 1}), "pickle"),
        (b" event " + msgpack.packb([1, 2]), "not msgpack"),
        (b" event " + msgpack.packb({"data": msgpack.ExtType(5, b"x")}), "not msgpack"),
        (b" event " + msgpack.packb({"data": "x"})[:-1], "not msgpack"),
        (b" event " + b"\x91" * 5000, "not msgpack"),
        (b" event \xdd\xff\xff\xff\xff", "not msgpack"),
        (b" event " + msgpack.packb({1: 2}), "not msgpack"),
    ],
)
def test_what_is_no_document_is_refused(message, reason):
    with pytest.raises(ValueError, match=reason):
        decode(message)


def test_messages_are_those_of_blueskys_publisher():
    doc = {"time": 1.5, "data": {"i0": float("nan")}, "uid": "é"}
    prefix, name, payload = encode("event", doc).split(b" ", 2)
    assert (prefix, name) == (b"", b"event")
    assert repr(msgpack.unpackb(payload)) == repr(doc)
    assert repr(decode(b"beamline event " + msgpack.packb(doc))) == repr(("event", doc))


def test_scan_outlives_a_document_that_cannot_be_published(caplog):
    publisher = Publisher("127.0.0.1:1", None)
    endless = {}
    endless["data"] = endless
    publisher("event", endless)
    publisher("start", {"uid": "x"})
    publisher.close()
    assert "a event document could not be published" in caplog.text
    assert "no connection; check that the proxy runs" in caplog.text


@pytest.mark.parametrize("address", ["beamline.example:5568", "tcp://192.168.1.5:5568", "tcp://*:5568", "epgm://a;b:1"])
def test_other_computers_need_keys(address):
    with pytest.raises(SettingsError, match="give a folder of keys"):
        Publisher(address, None)


def test_trusted_network_needs_no_keys():
    Publisher("192.0.2.1:5568", None, trusted=True).close()


@pytest.mark.parametrize("address", ["5568", "localhost", "tcp://localhost", "localhost:port", "localhost:99999"])
def test_address_is_a_host_and_a_port(address):
    with pytest.raises(SettingsError, match="host:port"):
        Publisher(address, None)


def test_secret_key_is_one_and_for_its_owner_alone(keys):
    (secret,) = (keys / "reader").glob("*.key_secret")
    secret.chmod(0o640)
    with pytest.raises(SettingsError, match="others may read this secret key; chmod 600"):
        Publisher("localhost:5567", keys / "reader")
    secret.chmod(0o600)
    (keys / "reader" / "server.key").unlink()
    with pytest.raises(SettingsError, match=r"server\.key"):
        Publisher("localhost:5567", keys / "reader")
    secret.unlink()
    with pytest.raises(SettingsError, match=r"holds 0 files .*create_certificates"):
        Publisher("localhost:5567", keys / "reader")
