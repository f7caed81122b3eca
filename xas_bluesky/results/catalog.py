"""The catalog: raw runs and analysis records, side by side on one Tiled server."""

import shlex
import tempfile
import threading
from collections.abc import Generator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import httpx

from xas_bluesky.edges import find_edge
from xas_bluesky.errors import CatalogError, SettingsError
from xas_bluesky.results.connection import ANALYSES, RUNS, connect, make_containers
from xas_bluesky.results.records import AnalysisRecord, escape, read_record, summarize, write_record
from xas_bluesky.results.server import Address, EmbeddedServer, check_folder, enter_folder
from xas_bluesky.results.writer import RunWriter

if TYPE_CHECKING:
    from tiled.client.container import Container


class Catalog:
    """Hold the raw `runs` and the analysis records of one Tiled server; made by `open_catalog`.

    `where` is how the user named it, without a key. Close it, or use it in a `with`: that writes what is still to be
    written and stops the server if it is ours. The end of the process does so too.
    """

    def __init__(self, where: str, root: "Container", backup: Path | None, own_server: EmbeddedServer | None) -> None:
        self.where = where
        self._root = root
        self._backup = backup
        self._own_server = own_server
        self._writers: list[RunWriter] = []
        self._closing = threading.Lock()
        self._closed = False
        threading.Thread(target=_close_after_main, args=(self,), daemon=True).start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def runs(self) -> "Container":
        """The container of raw runs, by uid."""
        return self._container(RUNS)

    @property
    def analyses(self) -> "Container":
        """The container of analysis records, by key."""
        return self._container(ANALYSES)

    def writer(self) -> RunWriter:
        """Make a callback for `RE.subscribe` that writes raw runs here.

        What Tiled does not take goes to the folder's `backup`, or for a URL to a temporary folder: see
        `RunWriter.unwritten`.
        """
        backup = self._backup or Path(tempfile.mkdtemp(prefix="xas-bluesky-backup-"))
        writer = RunWriter(self.runs, backup)
        self._writers.append(writer)
        return writer

    def save(self, record: AnalysisRecord) -> str:
        """Write an analysis record and return its key."""
        with self._explained("the analysis record could not be written"):
            return write_record(self.analyses, record)

    def load(self, key: str) -> AnalysisRecord:
        """Read back the record called `key`."""
        with self._explained("the analysis record could not be read"):
            if key not in self.analyses:
                raise CatalogError(f"catalog {self.where}: holds no analysis record {key!r}; search for the right key")
            return read_record(self.analyses[key])

    def search(
        self,
        *,
        sample: str | None = None,
        candidate: str | None = None,
        min_probability: float | None = None,
        edge: str | None = None,
        limit: int = 100,
    ) -> list[dict[str, Any]]:
        """List the analysis records that meet every condition given, newest first, as plain JSON.

        `min_probability` is asked of `candidate`, wherever it ranks, or of the best candidate where none is named.
        Raises EdgeError or SettingsError for a condition that makes no sense.
        """
        if min_probability is not None and not 0 <= min_probability <= 1:
            raise SettingsError(f"min_probability: got {min_probability}, expected a number from 0 to 1")
        if limit < 1:
            raise SettingsError(f"limit: got {limit}, expected at least 1")
        from tiled.queries import Key

        least = float(min_probability or 0)
        conditions: list[Any] = []
        if sample is not None:
            conditions.append(Key("sample") == sample)
        if edge is not None:
            conditions.append(Key("edge") == str(find_edge(edge)))
        if candidate is not None:
            conditions.append(Key(f"probability.{escape(candidate)}") >= least)
        elif min_probability is not None:
            conditions.append(Key("best_probability") >= least)
        with self._explained("the analysis records could not be searched"):
            found = self.analyses
            for condition in conditions:
                found = found.search(condition)
            newest_first = found.sort(("time", -1)).items()[:limit]
            return [summarize(key, container.metadata) for key, container in newest_first]

    def query_command(self) -> str:
        """Give the command that lists what this catalog holds."""
        return f"xas-bluesky results --catalog {shlex.quote(self.where)} --json"

    def close(self) -> None:
        """Write what is still to be written, and stop the server if it is ours."""
        with self._closing:
            if self._closed:
                return
            self._closed = True
            for writer in self._writers:
                writer.close()
            self._root.context.close()
            if self._own_server is not None:
                self._own_server.close()
            elif self._backup is None:
                for writer in self._writers:
                    with suppress(OSError):  # not empty: keep it
                        writer.backup.rmdir()

    def _container(self, key: str) -> "Container":
        with self._explained(f"the container {key!r} could not be opened"):
            return self._root[key]

    @contextmanager
    def _explained(self, what: str) -> Generator[None]:
        try:
            yield
        except (httpx.HTTPError, KeyError) as error:
            raise CatalogError(
                f"catalog {self.where}: {what} ({error}); check that its server runs and that your key may do this"
            ) from error


def open_catalog(where: str | Path, *, create: bool = True) -> Catalog:
    """Open the catalog in a folder, or on the Tiled server at an http(s) URL.

    A folder is made when missing, unless `create` is False; the first process to open it runs its server, the others
    connect to that one. A URL may carry `?api_key=`, else TILED_API_KEY counts, and may name a container by its path
    (…/api/v1/metadata/path). Raises CatalogError within seconds for what cannot be opened.
    """
    text = str(where)
    if text.startswith(("http://", "https://")):
        address = Address.parse(text)
        root = connect(address, shown=address.url, trust_env=True)
        make_containers(root, shown=address.url)
        return Catalog(address.url, root, backup=None, own_server=None)
    if "://" in text:
        raise CatalogError(f"catalog {text}: expected a folder, or a URL that starts with http:// or https://")
    folder = Path(where)
    check_folder(folder, create=create)
    entered = enter_folder(folder)
    if isinstance(entered, Address):
        root = connect(entered, shown=text, trust_env=False)
        return Catalog(text, root, backup=folder / "backup", own_server=None)
    try:
        root = connect(entered.address, shown=text, trust_env=False)
        make_containers(root, shown=text)
        entered.publish()
    except BaseException:
        entered.close()
        raise
    return Catalog(text, root, backup=folder / "backup", own_server=entered)


def _close_after_main(catalog: Catalog) -> None:
    # the threads of the server and of the writers would keep the process alive, and atexit runs only after they end
    threading.main_thread().join()
    catalog.close()
