"""Documents by ZMQ: from a RunEngine, through a proxy, as msgpack and under CURVE keys. Nothing is ever unpickled.

The proxy is Bluesky's (`bluesky-0MQ-proxy`), the messages are those of its publisher. A folder of keys holds the proxy's
public key, `server.key`, and one secret key of one's own, `*.key_secret`, of mode 600, as zmq.auth.create_certificates
makes them.
"""

import ipaddress
import logging
import stat
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from threading import Event
from typing import Any

import msgpack
import zmq
import zmq.auth
from event_model import DocumentNames
from zmq.utils.monitor import recv_monitor_message

from xas_bluesky.errors import SettingsError
from xas_bluesky.live.messages import pack

LARGEST = 64 * 2**20
"""Bytes of a message."""
MOST_ITEMS = 10**6
"""Items of one list or mapping in a message."""
QUEUED = 100_000
"""Messages held for a proxy, or for a reader, that is slower than the documents come; what comes on top is lost."""
IDLE = 100
"""Milliseconds between looks at whether to stop."""
PATIENCE = 5.0
"""Seconds without a connection after which that is said."""

NAMES = frozenset(name.name for name in DocumentNames)

logger = logging.getLogger(__name__)


def follow_zmq(
    address: str,
    keys: Path | None,
    on_document: Callable[[str, dict[str, Any]], None],
    stop: Event,
    *,
    trusted: bool = False,
) -> None:
    """Call `on_document(name, doc)` with what a proxy publishes, on this thread, until `stop` is set.

    `address` is the proxy's for readers, as in "localhost:5568"; without a folder of `keys` it has to be on this computer,
    unless the network is `trusted`. A message that is no document in msgpack is logged and ignored. Raises SettingsError
    for an address or keys that cannot be used.
    """
    link = _Link(zmq.SUB, address, keys, trusted=trusted)
    refused: set[str] = set()
    silent_since, said = time.monotonic(), False
    try:
        while not stop.is_set():
            if link.socket.poll(IDLE):
                try:
                    name, doc = decode(link.socket.recv())
                except ValueError as error:
                    if str(error) not in refused:
                        refused.add(str(error))
                        logger.warning("%s: refused a message, and further ones like it: %s", link.address, error)
                    continue
                on_document(name, doc)
            elif link.is_up():
                silent_since, said = time.monotonic(), False
            elif not said and time.monotonic() > silent_since + PATIENCE:
                said = True
                logger.warning("%s: %s", link.address, NO_LINK)
    finally:
        link.close()


class Publisher:
    """Publish documents to a proxy: subscribe it to the RunEngine.

    `address` is the proxy's for publishers, as in "localhost:5567"; `keys` and `trusted` as in `follow_zmq`. A call sends
    the document and returns; nothing is raised into the RunEngine. Make it some time before the first scan, as a document
    is lost that is sent before the proxy has answered.
    """

    def __init__(self, address: str, keys: Path | None, *, trusted: bool = False) -> None:
        self._link = _Link(zmq.PUB, address, keys, trusted=trusted)

    @property
    def connected(self) -> bool:
        """Say whether a proxy has answered and taken the keys."""
        return self._link.is_up()

    def __call__(self, name: str, doc: Mapping[str, Any]) -> None:
        """Send one document."""
        if name == "start" and not self.connected:
            logger.warning("%s: %s", self._link.address, NO_LINK)
        try:
            self._link.socket.send(encode(name, doc), zmq.NOBLOCK)
        except Exception:
            logger.exception("a %s document could not be published", name)

    def close(self) -> None:
        """Send what is still to be sent, for a second at most."""
        self._link.close()


def encode(name: str, doc: Mapping[str, Any]) -> bytes:
    """Write a document as a message of Bluesky's publisher, with msgpack; arrays become lists."""
    return b" ".join([b"", name.encode(), pack(dict(doc))])


def decode(message: bytes) -> tuple[str, dict[str, Any]]:
    """Read a message into a document of plain values; raises ValueError for anything else."""
    try:
        _, word, payload = message.split(b" ", 2)
        name = word.decode("ascii")
    except ValueError:
        raise ValueError("it is no message of a Bluesky publisher") from None
    if name not in NAMES:
        raise ValueError("its name is none of a Bluesky document")
    try:
        doc = msgpack.unpackb(
            payload, raw=False, timestamp=1, ext_hook=_refuse, max_array_len=MOST_ITEMS, max_map_len=MOST_ITEMS
        )
    except (ValueError, TypeError, msgpack.UnpackException):
        doc = None
    if not isinstance(doc, dict):
        raise ValueError(
            f"its {name} document is not msgpack, and may be a pickle, which could run code; "
            "publish with xas_bluesky.live.Publisher, or with bluesky's and serializer=msgpack.packb"
        )
    return name, doc  # pyright: ignore[reportUnknownVariableType]


NO_LINK = "no connection; check that the proxy runs there, and that it knows this key and you have its public key"


class _Link:
    """A socket connected to a proxy, which reconnects by itself, and whether it is."""

    def __init__(self, kind: int, address: str, keys: Path | None, *, trusted: bool) -> None:
        self.address = _checked(address, alone=keys is None and not trusted)
        certificates = _load_keys(keys) if keys is not None else None
        self._context = zmq.Context()
        self.socket = self._context.socket(kind)
        self._monitor = self.socket.get_monitor_socket(zmq.EVENT_HANDSHAKE_SUCCEEDED | zmq.EVENT_DISCONNECTED)
        self._is_up = False
        self.socket.setsockopt(zmq.LINGER, 1000)
        self.socket.setsockopt(zmq.SNDHWM, QUEUED)
        self.socket.setsockopt(zmq.RCVHWM, QUEUED)
        self.socket.setsockopt(zmq.MAXMSGSIZE, LARGEST)
        if certificates is not None:
            self.socket.curve_publickey, self.socket.curve_secretkey, self.socket.curve_serverkey = certificates
        if kind == zmq.SUB:
            self.socket.setsockopt(zmq.SUBSCRIBE, b"")
        try:
            self.socket.connect(self.address)
        except zmq.ZMQError as error:
            self.close()
            raise SettingsError(f"address {address}: {error}; give a proxy's host:port") from error

    def is_up(self) -> bool:
        while self._monitor.poll(0):
            self._is_up = recv_monitor_message(self._monitor)["event"] == zmq.EVENT_HANDSHAKE_SUCCEEDED
        return self._is_up

    def close(self) -> None:
        self.socket.disable_monitor()
        self._monitor.close()
        self.socket.close()
        self._context.term()


def _checked(address: str, *, alone: bool) -> str:
    whole = address if "://" in address else f"tcp://{address}"
    scheme, _, place = whole.partition("://")
    host, _, port = place.rpartition(":")
    if scheme == "tcp" and not (host and port.isdigit() and int(port) < 2**16):
        raise SettingsError(f"address {address}: expected a proxy's host:port, as in localhost:5568")
    if alone and scheme != "ipc" and not _is_loopback(host.strip("[]")):
        raise SettingsError(
            f"address {address}: is on another computer; give a folder of keys, "
            "so that nobody else can read or forge the documents"
        )
    return whole


def _is_loopback(host: str) -> bool:
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _load_keys(folder: Path) -> tuple[bytes, bytes, bytes]:
    """Return one's own public and secret key, and the proxy's public key."""
    how = "make keys with zmq.auth.create_certificates(folder, name) and copy the proxy's server.key there"
    secrets = sorted(folder.glob("*.key_secret"))
    if len(secrets) != 1:
        raise SettingsError(f"keys {folder}: holds {len(secrets)} files *.key_secret, expected one; {how}")
    if stat.S_IMODE(secrets[0].stat().st_mode) & 0o077:
        raise SettingsError(f"keys {secrets[0]}: others may read this secret key; chmod 600 it, or better make a new one")
    try:
        public, secret = zmq.auth.load_certificate(secrets[0])
        server, _ = zmq.auth.load_certificate(folder / "server.key")
    except (OSError, ValueError) as error:
        raise SettingsError(f"keys {folder}: {error}; {how}") from error
    if secret is None:
        raise SettingsError(f"keys {secrets[0]}: holds no secret key; {how}")
    return public, secret, server


def _refuse(code: int, _: bytes) -> object:
    raise ValueError(f"type {code} is no value of a document")
