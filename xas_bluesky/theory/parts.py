"""A file of results that grows while they are computed, and is whole at any moment."""

import fcntl
import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Self

from xas_bluesky.errors import DatasetError, SettingsError
from xas_bluesky.theory.dataset import Result, dataset_of, merge_datasets, read_dataset, write_dataset

MOST_PARTS = 500
ROWS_PER_PART = 10
"""The parts are merged when there are MOST_PARTS, in a large file when it has only so many rows for each: it is rewritten."""
METHOD = ("excitations", "geometry", "edges")
"""What must be the same in the provenance of all results in one file; versions may differ."""


class GrowingFile:
    """Add results to a file; use it in a `with`.

    Each result is written at once, as a file of its own in a folder beside the file (`FILE.parts`); now and then, and at
    the end, they are merged into the file and the folder is removed. A folder that a killed process left is merged at the
    start. One process at a time may add to a file. `dataset`: what the file holds at the start. Raises SettingsError when
    the file is in use or cannot be written, DatasetError when it is no data set or was made in another way.
    """

    def __init__(self, path: Path, provenance: Mapping[str, str]) -> None:
        self.path = path
        self.dataset = dataset_of([], provenance)
        self._provenance = provenance
        self._folder = path.parent / f"{path.name}.parts"
        self._rows = 0
        self._added = 0

    def __enter__(self) -> Self:
        self._take_lock()
        try:
            for path in [self.path, *self._parts()[:1]]:
                if path.exists():
                    self._check(path)
            self._merge()
            if self.path.exists():
                self.dataset = read_dataset(self.path)
                self._rows = len(self.dataset) + len(self.dataset.failures)
        except BaseException:
            self._close()
            raise
        return self

    def add(self, result: Result) -> None:
        """Add the result of one molecule; of several with one name, the last stays."""
        write_dataset(self._folder / f"{self._added:07}.parquet", [result], self._provenance)
        self._added += 1
        if self._added >= max(MOST_PARTS, self._rows // ROWS_PER_PART):
            self._merge()
            self._rows, self._added = self._rows + self._added, 0

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        try:
            self._merge()
        finally:
            self._close()

    def _take_lock(self) -> None:
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            self._lock = (self._folder / "lock").open("w")
        except OSError as error:
            raise SettingsError(f"{self.path}: cannot be written ({error.strerror}); name another output") from error
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if os.fstat(self._lock.fileno()).st_nlink == 0:
                raise BlockingIOError  # the process that held it has just ended and removed it
        except OSError as error:
            self._lock.close()
            if isinstance(error, BlockingIOError):
                raise SettingsError(f"{self.path}: another process is adding to it; wait for its end") from error
            raise SettingsError(f"{self.path}: its disk locks no files ({error.strerror}); name another output") from error

    def _close(self) -> None:
        if not self._parts():
            shutil.rmtree(self._folder, ignore_errors=True)
        self._lock.close()

    def _parts(self) -> list[Path]:
        return sorted(self._folder.glob("[0-9]*.parquet"))

    def _merge(self) -> None:
        parts = self._parts()
        if parts:
            merged = self._folder / "merged.parquet"
            merge_datasets([*([self.path] if self.path.exists() else []), *parts], merged)
            merged.replace(self.path)
        for part in parts:
            part.unlink()

    def _check(self, path: Path) -> None:
        try:
            found = read_dataset(path).provenance
        except DatasetError as error:
            raise DatasetError(f"{path}: it exists and is no data set, or a broken one; name another output") from error
        for key in METHOD:
            before, now = found.get(key), self._provenance.get(key)
            if before != now:
                raise DatasetError(f"{path}: it was made with {key} {before!r}, not {now!r}; name another output")
