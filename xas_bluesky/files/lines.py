"""Lines of a text file a user gave."""

from pathlib import Path

from xas_bluesky.errors import InputError


def read_lines(path: Path, error: type[InputError]) -> list[str]:
    """Read the lines of the text file at `path`; raise `error` when there is none, or when it is not text."""
    try:
        raw = path.read_bytes()
    except OSError as problem:
        raise error(f"{path}: cannot be read ({problem.strerror}); check the path") from problem
    if b"\0" in raw:
        raise error(f"{path}: this is not a text file; give one in UTF-8")
    try:
        return raw.decode("utf-8-sig").splitlines()
    except UnicodeDecodeError:
        return raw.decode("latin-1").splitlines()  # degree signs and the like in the headers of old beamlines
