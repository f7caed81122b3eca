"""Documents and reduced scans as msgpack: plain data, so that reading a message never runs code from it."""

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

import msgpack
import numpy as np

from xas_bluesky.spectra import Absorption, NormalizedSpectrum, ReducedScan, Spectrum

LONGEST = 2**30
"""Bytes of one message."""
ARRAY = 1
KINDS = {b"d": np.float64, b"?": np.bool_}


def pack(message: Any) -> bytes:
    """Pack plain data; arrays and numbers of numpy become lists and numbers, what is not plain its text."""
    return msgpack.Packer(default=_plain).pack(message)


def unpacker() -> Any:
    """Make a reader of a stream of messages."""
    return msgpack.Unpacker(raw=False, strict_map_key=False, max_buffer_size=LONGEST, ext_hook=_array)


def pack_scan(scan: ReducedScan) -> bytes:
    """Pack a reduced scan; its arrays stay what they are, to the last bit."""
    return msgpack.Packer(default=_exact).pack(asdict(scan))


def unpack_scan(packed: bytes) -> ReducedScan:
    """Unpack what `pack_scan` packed."""
    found = msgpack.unpackb(packed, raw=False, strict_map_key=False, ext_hook=_array)
    return ReducedScan(
        spectrum=Spectrum(**found.pop("spectrum")),
        absorption=_absorption(found.pop("absorption")),
        reference=_absorption(reference) if (reference := found.pop("reference")) else None,
        normalized=NormalizedSpectrum(**normalized) if (normalized := found.pop("normalized")) else None,
        remarks=tuple(found.pop("remarks")),
        **found,
    )


def _absorption(found: dict[str, Any]) -> Absorption:
    return Absorption(remarks=tuple(found.pop("remarks")), **found)


def _plain(value: Any) -> Any:
    if isinstance(value, np.ndarray | np.generic):
        return value.tolist()
    if isinstance(value, Mapping):
        return dict(value)  # pyright: ignore[reportUnknownVariableType]
    if isinstance(value, set | frozenset):
        return list(value)  # pyright: ignore[reportUnknownVariableType]
    return str(value)


def _exact(value: Any) -> Any:
    if isinstance(value, np.ndarray):
        kind = value.dtype.char.encode()
        return msgpack.ExtType(ARRAY, kind + np.ascontiguousarray(value).tobytes())
    return _plain(value)


def _array(code: int, data: bytes) -> Any:
    if code != ARRAY or data[:1] not in KINDS:
        raise ValueError(f"a message holds data of a kind ({code}) that is not read")
    return np.frombuffer(data, KINDS[data[:1]], offset=1)
