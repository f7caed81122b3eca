"""One Tiled server per catalog folder: the process that locks the folder runs it, the others find its address."""

import json
import os
import secrets
import time
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Self
from urllib.parse import parse_qs, urlsplit, urlunsplit

from xas_bluesky.errors import CatalogError
from xas_bluesky.results.locks import try_lock
from xas_bluesky.results.tiled_thread import DATABASE_FILE, TiledThread

LOCK_FILE = "catalog.lock"
ADDRESS_FILE = "server.json"
START_LIMIT = 40.0
"""Seconds another process may take from locking the folder until its server answers."""
ANSWER_LIMIT = 5.0


@dataclass(frozen=True, slots=True)
class Address:
    """Say where a Tiled server is: `url` without a key, and the `api_key` it wants."""

    url: str
    api_key: str | None = None

    @classmethod
    def parse(cls, text: str) -> Self:
        """Split a URL such as http://host:8000?api_key=secret, so that the key stays out of logs and messages."""
        parts = urlsplit(text)
        keys = parse_qs(parts.query).get("api_key", [])
        return cls(urlunsplit((parts.scheme, parts.netloc, parts.path, "", "")), keys[0] if keys else None)


class EmbeddedServer:
    """Run the Tiled server of a folder on a thread of this process, until `close`.

    `lock` is the descriptor of the folder's lock file, which this process has locked. A process runs one at a time, as
    a second one would void the key of the first.
    """

    running: ClassVar[Path | None] = None

    def __init__(self, folder: Path, lock: int) -> None:
        self._lock = lock
        self._address_file = folder / ADDRESS_FILE
        self._address_file.unlink(missing_ok=True)  # whoever wrote it has died: the lock was free
        api_key = secrets.token_hex(32)
        self._server = TiledThread(folder, api_key)
        EmbeddedServer.running = folder
        self.address = Address(f"http://127.0.0.1:{self._server.port}/api/v1", api_key)

    def publish(self) -> None:
        """Write the address, with its key, where only this user can read it."""
        text = json.dumps({"url": self.address.url, "api_key": self.address.api_key, "pid": os.getpid()})
        unfinished = self._address_file.with_suffix(".tmp")
        unfinished.unlink(missing_ok=True)
        with os.fdopen(os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            file.write(text)
        unfinished.replace(self._address_file)

    def close(self) -> None:
        """Stop the server, then let another process own the folder."""
        self._address_file.unlink(missing_ok=True)
        self._server.close()
        EmbeddedServer.running = None
        os.close(self._lock)


def check_folder(folder: Path, *, create: bool) -> None:
    """Raise CatalogError unless `folder` is a catalog, or (with `create`) can become one."""
    try:
        if create:
            folder.mkdir(parents=True, exist_ok=True)
        names = {path.name for path in folder.iterdir()}
    except (FileExistsError, NotADirectoryError) as error:
        raise CatalogError(f"catalog {folder}: a file is in its way; give a folder, or a URL") from error
    except FileNotFoundError as error:
        raise CatalogError(f"catalog {folder}: there is no such folder; give the one a run was written to") from error
    except OSError as error:
        raise CatalogError(f"catalog {folder}: cannot be used ({error.strerror}); give another folder") from error
    if not names and not create:
        raise CatalogError(f"catalog {folder}: the folder is empty; give the one a run was written to")
    if names and not names & {DATABASE_FILE, LOCK_FILE}:
        raise CatalogError(f"catalog {folder}: holds other files and no catalog; give an empty folder, or a new one")
    if not os.access(folder, os.W_OK | os.X_OK):
        raise CatalogError(f"catalog {folder}: you may not write here; give a folder that is yours")


def enter_folder(folder: Path) -> EmbeddedServer | Address:
    """Start the folder's server, or return the address of the one that another process runs.

    Raises CatalogError when the other process neither answers nor goes away.
    """
    deadline = time.monotonic() + START_LIMIT
    while time.monotonic() < deadline:
        lock = _lock(folder)
        if lock is not None:
            return _start(folder, lock)
        address = find_server(folder)
        if address is not None:
            return address
        time.sleep(0.1)
    raise CatalogError(
        f"catalog {folder}: another process holds it, but its Tiled server does not answer; "
        f"end that process (see {ADDRESS_FILE} there for its pid) and try again"
    )


def find_server(folder: Path) -> Address | None:
    """Return the address of the folder's server, None if none answers."""
    address = _read_address(folder)
    return address if address is not None and _answers(address) else None


def _start(folder: Path, lock: int) -> EmbeddedServer:
    with ExitStack() as undone:
        undone.callback(os.close, lock)
        _check_database(folder / DATABASE_FILE)
        if EmbeddedServer.running is not None:
            raise CatalogError(
                f"catalog {folder}: this process runs the server of {EmbeddedServer.running}; close that catalog first"
            )
        try:
            started = EmbeddedServer(folder, lock)
        except Exception as error:  # SQLite, DuckDB and uvicorn raise what they like
            lines = str(error).splitlines() or [type(error).__name__]
            reason = next((line for line in reversed(lines) if "Error" in line), lines[-1])
            raise CatalogError(f"catalog {folder}: its Tiled server did not start ({reason}); give another folder") from error
        undone.pop_all()
        return started


def _check_database(file: Path) -> None:
    if file.exists():
        with file.open("rb") as database:
            opening = database.read(15)
        if opening not in (b"", b"SQLite format 3"):
            raise CatalogError(f"catalog {file.parent}: its {file.name} is no database of Tiled; give another folder")


def _lock(folder: Path) -> int | None:
    try:
        return try_lock(folder / LOCK_FILE)
    except OSError as error:
        raise CatalogError(f"catalog {folder}: cannot be locked ({error.strerror}); give another, local folder") from error


def _read_address(folder: Path) -> Address | None:
    try:
        entry = json.loads((folder / ADDRESS_FILE).read_text())
        return Address(str(entry["url"]), str(entry["api_key"]))
    except (OSError, ValueError, KeyError):
        return None  # not published yet


def _answers(address: Address) -> bool:
    # with the key, as a stranger may listen on the port of a server that died
    import httpx

    headers = {"Authorization": f"Apikey {address.api_key}"}
    try:
        answer = httpx.get(f"{address.url}/metadata/", headers=headers, timeout=ANSWER_LIMIT, trust_env=False)
    except httpx.HTTPError:
        return False
    return answer.is_success
