"""Locks on files: the system frees them when their owner ends, however it does."""

import fcntl
import os
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path


def try_lock(path: Path) -> int | None:
    """Lock a file, made where it is missing, until the descriptor that is returned is closed; None when another holds it.

    Raises OSError where the file cannot be opened for writing, or its disk locks no files.
    """
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)  # NFS locks only what may be written
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(descriptor)
        if isinstance(error, BlockingIOError):
            return None
        raise
    return descriptor


@contextmanager
def locked(path: Path) -> Generator[bool]:
    """Lock a file meanwhile, as `try_lock` does; gives False when another holds it."""
    descriptor = try_lock(path)
    try:
        yield descriptor is not None
    finally:
        if descriptor is not None:
            os.close(descriptor)
