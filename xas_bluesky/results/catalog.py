"""The catalog: raw runs, reduced scans and analysis records, side by side on one Tiled server."""

import logging
import shlex
import threading
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self, Unpack

import httpx

from xas_bluesky.errors import CatalogError, SettingsError
from xas_bluesky.results.access import OPEN, Access, access_of
from xas_bluesky.results.connection import ANALYSES, REDUCED, RUNS, connect, make_containers
from xas_bluesky.results.drafts import Drafts, state_of
from xas_bluesky.results.record_nodes import read_record, write_record
from xas_bluesky.results.records import AnalysisRecord
from xas_bluesky.results.recovery import recover
from xas_bluesky.results.reduced import newest_of, read_reduced, write_reduced
from xas_bluesky.results.replay import Documents, backup_name, read_backup, read_run
from xas_bluesky.results.searching import Conditions, search
from xas_bluesky.results.server import Address, EmbeddedServer, check_folder, enter_folder, find_server
from xas_bluesky.results.writer import RunWriter
from xas_bluesky.spectra import ReducedScan

if TYPE_CHECKING:
    from tiled.client.container import Container


BACKUP, JOURNAL, DRAFTS = "backup", "journal", "drafts"
"""Folders beside what the server keeps: of what it has not, or not yet."""

logger = logging.getLogger(__name__)


class Catalog:
    """Hold the raw `runs`, the `reduced` scans and the analysis records of one Tiled server; made by `open_catalog`.

    `where` is how the user named it, without a key. Close it, or use it in a `with`: that writes what is still to be
    written and stops the server if it is ours. The end of the process does so too.
    """

    def __init__(self, where: str, root: "Container", folder: Path | None, own_server: EmbeddedServer | None) -> None:
        self.where = where
        self._roots = [root]
        """the present one last; other threads may still be using those before it"""
        self._folder = folder
        self._state = folder or state_of(where)
        """the folder of drafts, and of the journal and backup of runs"""
        self._own_server = own_server
        self._writers: list[RunWriter] = []
        self._drafts = Drafts(self._state / DRAFTS)
        self._unsaved: set[str] = set()
        """runs whose records the server did not take"""
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

    @property
    def reduced(self) -> "Container":
        """The container of reduced scans, by key; searched by raw_uid, sample, edge, mode, stage, e0 and the like."""
        return self._container(REDUCED)

    def writer(self) -> RunWriter:
        """Make a callback for `RE.subscribe` that writes raw runs here.

        What Tiled does not take goes to the folder's `backup`, or for a URL to a folder of this user's state, and is
        written again when the server is back, or the catalog is opened again: see `RunWriter.unwritten`.
        """
        writer = RunWriter(self.runs, self._state / BACKUP, self._state / JOURNAL)
        self._writers.append(writer)
        return writer

    def draft(self, record: AnalysisRecord) -> None:
        """Keep a record in a file until one of the same run is saved; the next opening saves it if this process is killed."""
        self._drafts.keep(record)

    def save(self, record: AnalysisRecord) -> str:
        """Write an analysis record and return its key; where that fails, a file keeps it until the server is back.

        That is tried with the next record, at the end, and when the catalog is opened again.
        """
        try:
            self.draft(record)
            self._unsaved.add(record.raw_uid)
        except OSError:
            logger.exception("run %s: no file can keep its record while Tiled does not", record.raw_uid)
        with self._explained("the analysis record could not be written; it is kept until the server is back"):
            key = write_record(self.analyses, record, self._access(record.raw_uid))
        self._saved(record)
        self._save_again()
        return key

    def recover(self) -> None:
        """Write the runs and records of processes that were killed or found no server; what cannot be written waits on."""
        folders = self._state / BACKUP, self._state / JOURNAL
        try:
            if any(file for folder in folders for file in folder.glob("*.jsonl")):
                recover(self.runs, *folders)
            for record in self._drafts.left_over():
                key = self._rewritten(record)
                if key is None:
                    return
                logger.warning("run %s: its record was left over, and is %s now (%s)", record.raw_uid, key, record.stop_reason)
        except (OSError, CatalogError):
            logger.exception("catalog %s: what was left over in %s waits until it is opened again", self.where, self._state)

    def _save_again(self) -> None:
        for record in self._drafts.own() if self._unsaved else []:
            if record.raw_uid in self._unsaved and self._rewritten(record):
                self._saved(record)

    def _rewritten(self, record: AnalysisRecord) -> str | None:
        """Write a record in the place of what a server that went away took of it; None, and logged, if that fails."""
        from tiled.queries import Key

        try:
            with self._explained("a record that was kept in a file could not be written"):
                partly = self.analyses.search(Key("raw_uid") == record.raw_uid).search(Key("time") == record.time)
                for key in list(partly):
                    self.analyses.delete_contents(key, recursive=True, external_only=False)
                return write_record(self.analyses, record, self._access(record.raw_uid))
        except CatalogError:
            logger.exception("run %s: its record waits in a file for the server", record.raw_uid)
            return None

    def _saved(self, record: AnalysisRecord) -> None:
        self._unsaved.discard(record.raw_uid)
        self._drafts.drop(record.raw_uid)

    def load(self, key: str) -> AnalysisRecord:
        """Read back the record called `key`."""
        with self._explained("the analysis record could not be read"):
            if key not in self.analyses:
                raise CatalogError(f"catalog {self.where}: holds no analysis record {key!r}; search for the right key")
            return read_record(self.analyses[key])

    def save_reduced(self, scan: ReducedScan) -> str:
        """Write a reduced scan and return its key; it replaces what was saved of the same run.

        Raises SpectrumError for a scan that is of no run.
        """
        with self._explained("the reduced scan could not be written"):
            return write_reduced(self.reduced, scan, self._access(scan.spectrum.metadata.get("uid")))

    def load_reduced(self, raw_uid: str) -> ReducedScan:
        """Read back the reduced scan of a run."""
        with self._explained("the reduced scan could not be read"):
            found = newest_of(self.reduced, raw_uid)
            if found is None:
                raise CatalogError(f"catalog {self.where}: holds no reduced scan of run {raw_uid!r}; give another run's uid")
            return read_reduced(found)

    def search(self, *, limit: int = 100, **conditions: Unpack[Conditions]) -> list[dict[str, Any]]:
        """List the analysis records that meet every condition given, newest first, as plain JSON.

        The conditions are those of `results.search`. Raises EdgeError or SettingsError for one that makes no sense.
        """
        if limit < 1:
            raise SettingsError(f"limit: got {limit}, expected at least 1")
        with self._explained("the analysis records could not be searched"):
            return [record.to_json() for record in search(self, **conditions)[:limit]]

    def documents(self, run_uid: str) -> Documents:
        """Yield the documents of a run, whole or still being written: (name, document).

        They come from the backup of its writer if it has one here, else from Tiled: then one event a point, with the
        values that lie in files as the server reads them. Raises CatalogError when the run is not there yet.
        """
        file = self.backup_of(run_uid)
        if file is not None:
            yield from read_backup(file, run_uid)
            return
        with self._explained(f"run {run_uid} could not be read"):
            runs = self.runs
            if run_uid not in runs:
                raise CatalogError(f"catalog {self.where}: holds no run {run_uid}; check its uid, or wait for it")
            yield from read_run(runs[run_uid])

    def backup_of(self, run_uid: str) -> Path | None:
        """Return the file to which a writer of this catalog puts a run, once Tiled did not take it."""
        file = self._state / BACKUP / backup_name(run_uid)
        return file if file.exists() else None

    def latest_runs(self, count: int) -> dict[str, dict[str, Any]]:
        """Return the newest runs, newest first: uid -> {"start": document, "stop": document once it has stopped}."""
        with self._explained("the runs could not be listed"):
            newest = reversed(self.runs.items().tail(count))
            return {uid: dict(run.item["attributes"]["metadata"]) for uid, run in newest}

    def reconnect(self) -> None:
        """Find the server again, once another process runs it; raises CatalogError while none does."""
        if self._folder is None or self._own_server is not None:
            return  # it keeps its address
        address = find_server(self._folder)
        if address is None:
            raise CatalogError(f"catalog {self.where}: no process runs its server; open it in one")
        self._roots.append(connect(address, shown=self.where, trust_env=False))

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
            self._save_again()
            self._drafts.close()
            for root in self._roots:
                root.context.close()
            if self._own_server is not None:
                self._own_server.close()

    def _access(self, raw_uid: object) -> Access:
        if not isinstance(raw_uid, str):
            return OPEN
        file = self.backup_of(raw_uid)
        return access_of(self.runs, raw_uid, read_backup(file, raw_uid) if file else iter(()))

    def _container(self, key: str) -> "Container":
        with self._explained(f"the container {key!r} could not be opened"):
            return self._roots[-1][key]

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
        return _made(address.url, root, None, None)
    if "://" in text:
        raise CatalogError(f"catalog {text}: expected a folder, or a URL that starts with http:// or https://")
    folder = Path(where)
    check_folder(folder, create=create)
    entered = enter_folder(folder)
    if isinstance(entered, Address):
        root = connect(entered, shown=text, trust_env=False)
        return _made(text, root, folder, None)
    try:
        root = connect(entered.address, shown=text, trust_env=False)
        make_containers(root, shown=text)
        entered.publish()
    except BaseException:
        entered.close()
        raise
    return _made(text, root, folder, entered)


def _made(where: str, root: "Container", folder: Path | None, own_server: EmbeddedServer | None) -> Catalog:
    catalog = Catalog(where, root, folder, own_server)
    catalog.recover()
    return catalog


def _close_after_main(catalog: Catalog) -> None:
    # the threads of the server and of the writers would keep the process alive, and atexit runs only after they end
    threading.main_thread().join()
    catalog.close()
