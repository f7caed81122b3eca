"""Records under way, in files until Tiled has them: a session that is killed, or a server that is away, loses no answer."""

import hashlib
import logging
import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any
from uuid import uuid4

from xas_bluesky.errors import CatalogError
from xas_bluesky.results.locks import locked, try_lock
from xas_bluesky.results.record_file import from_text, to_text
from xas_bluesky.results.records import AnalysisRecord

LOCK = "lock"
HEAVY = ("predicted", "inputs")
"""The large parts of a record, which change seldom: in a file of their own."""

logger = logging.getLogger(__name__)


class Drafts:
    """Keep records in a folder of this process' own below `folder`, which is made with the first of them.

    Its lock is free once the process has ended, however it did: then `left_over` gives its drafts to the next one.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._own = folder / uuid4().hex
        self._lock: int | None = None
        self._heavy: dict[str, list[Any]] = {}

    def keep(self, record: AnalysisRecord) -> None:
        """Write down a record as it is now; it replaces what was kept of the same run. Raises OSError as files do."""
        if self._lock is None:
            self._own.mkdir(parents=True, exist_ok=True)
            self._lock = try_lock(self._own / LOCK)
        heavy = [getattr(record, name) for name in HEAVY]
        known = self._heavy.get(record.raw_uid, [None] * len(heavy))
        if heavy[0] is not known[0]:
            _write(_heavy_file(self._own, record.raw_uid), to_text(heavy))
            self._heavy[record.raw_uid] = heavy
        light: Any = dict.fromkeys(HEAVY)
        _write(_file(self._own, record.raw_uid), to_text(replace(record, **light)))

    def drop(self, raw_uid: str) -> None:
        """Forget what is kept of a run: Tiled has it."""
        self._heavy.pop(raw_uid, None)
        _file(self._own, raw_uid).unlink(missing_ok=True)
        _heavy_file(self._own, raw_uid).unlink(missing_ok=True)

    def own(self) -> list[AnalysisRecord]:
        """Return what this process keeps."""
        return list(_read_all(self._own)) if self._lock is not None else []

    def left_over(self) -> Iterator[AnalysisRecord]:
        """Yield the records of processes that have ended; each is removed once the caller has come back for the next."""
        for folder in sorted(path for path in self._folder.glob("*") if path.is_dir() and path != self._own):
            with locked(folder / LOCK) as ended:
                if not ended:
                    continue  # its process lives
                for record in _read_all(folder):
                    yield record
                    _file(folder, record.raw_uid).unlink()
                    _heavy_file(folder, record.raw_uid).unlink()
                _remove(folder)

    def close(self) -> None:
        """Let go of the folder; what is still kept in it is for the next process."""
        if self._lock is not None:
            _remove(self._own)
            os.close(self._lock)
            self._lock = None


def state_of(url: str) -> Path:
    """Return the folder where this user keeps what belongs to a catalog elsewhere, as the XDG base directories say."""
    home = Path(os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state")
    return home / "xas-bluesky" / hashlib.sha256(url.encode()).hexdigest()[:16]


def _file(folder: Path, raw_uid: str) -> Path:
    return folder / f"{raw_uid}.json"


def _heavy_file(folder: Path, raw_uid: str) -> Path:
    return folder / f"{raw_uid}.spectra"


def _write(file: Path, text: str) -> None:
    """Write a file whole, or not at all."""
    unfinished = file.with_suffix(file.suffix + ".new")
    unfinished.write_text(text, encoding="utf-8")
    unfinished.replace(file)


def _read_all(folder: Path) -> Iterator[AnalysisRecord]:
    for file in sorted(folder.glob("*.json")):
        try:
            light = from_text(file.read_text(encoding="utf-8"))
            heavy = from_text(_heavy_file(folder, file.stem).read_text(encoding="utf-8"))
            yield replace(light, **dict(zip(HEAVY, heavy, strict=True)))
        except (OSError, CatalogError):
            logger.exception("%s: this record cannot be read; it stays where it is", file)


def _remove(folder: Path) -> None:
    """Remove a folder that holds nothing but its lock."""
    if {path.name for path in folder.iterdir()} == {LOCK}:
        (folder / LOCK).unlink()
        folder.rmdir()
