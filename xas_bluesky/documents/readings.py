"""Numbers of a channel from the values of a data key: scalars, elements of a detector, whole spectra."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from xas_bluesky.config import Fluorescence
from xas_bluesky.errors import SpectrumError
from xas_bluesky.spectra import Array

PER_ELEMENT = ("fluorescence", "icr", "ocr")
MEAN = ("energy",)
"""Channels whose several values at a point are samples of one thing; those of others are counts, and add up."""


def to_columns(values: Any, channel: str, fluorescence: Fluorescence) -> Array:
    """Turn the values of n points (n, …) into columns (n, k): k elements of a detector, or one.

    A value that is no number becomes NaN. Of fluorescence spectra, the bins of `fluorescence.roi` are added up; of energies,
    as an encoder samples them within the integration, the mean is taken. Raises SpectrumError for spectra without a roi
    inside them.
    """
    array = _numbers(values)
    if not array.size:
        return np.full((len(array), 1), np.nan)
    array = array.reshape(len(array), *(length for length in array.shape[1:] if length != 1))
    if not channel.startswith(PER_ELEMENT):
        rest = array.reshape(len(array), -1)
        return (rest.mean(axis=1) if channel.startswith(MEAN) else rest.sum(axis=1))[:, None]
    if channel.startswith("fluorescence") and fluorescence.roi and array.ndim > 1:
        first, last = fluorescence.roi
        if not first <= last < array.shape[-1]:
            raise SpectrumError(
                f"{channel} has {array.shape[-1]} bins, [fluorescence] roi = [{first}, {last}] is not among them; give the "
                "line's first and last bin, counted from 0, or no roi for counts of the line"
            )
        array = array[..., first : last + 1].sum(axis=-1)
    elif array.ndim > 2:
        raise SpectrumError(
            f"{channel} holds whole spectra, of shape {array.shape[1:]} a point; give the line's first and last bin as "
            "[fluorescence] roi = [first, last] in beamline.toml"
        )
    return array.reshape(len(array), -1)


def count_columns(shape: Sequence[int | None], channel: str, fluorescence: Fluorescence) -> int:
    """Say how many columns values of `shape` a point make; raises SpectrumError where they make none."""
    if None in shape:
        raise SpectrumError(f"{channel} has no fixed shape ({list(shape)}); give a data key of numbers for it")
    return to_columns(np.zeros((1, *shape)), channel, fluorescence).shape[1]  # type: ignore[arg-type]


def to_number(value: Any) -> float:
    """Read one value; what is no number becomes NaN."""
    try:
        return float(value)
    except (TypeError, ValueError):
        return float("nan")


def _numbers(values: Any) -> Array:
    try:
        return np.asarray(values, dtype=np.float64)
    except (TypeError, ValueError):
        return np.array([to_number(value) for value in values])
