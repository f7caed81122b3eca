"""The channels of one run on common points, whichever streams they are in."""

from collections import Counter
from collections.abc import Mapping

import numpy as np

from xas_bluesky.spectra import Array

ONE_RATE = 1.5
"""Streams whose records are spaced by less than this ratio were read together."""
SHORTEST = 1e-3
"""s: what a point is taken to be exposed for where its stream has neither a dwell nor different times."""


def joined(tables: Mapping[tuple[str, str], Array], channels: Mapping[str, tuple[str, str]]) -> tuple[dict[str, Array], Array]:
    """Bring the channels onto the points of i0: channel -> (n, k) columns, and their sequence numbers (n,)."""
    if channels["i0"] not in tables or channels["energy"] not in tables:
        return {}, np.empty(0)
    points = tables[channels["i0"]]
    exposure = tables[channels["dwell"]][:, 2] if channels.get("dwell") in tables else None
    columns: dict[str, Array] = {}
    whole = np.ones(len(points), dtype=bool)
    for channel, place in channels.items():
        if place not in tables:
            continue
        table = tables[place]
        by_time = place[0] != channels["i0"][0] and not _point_by_point(table, points)
        columns[channel] = _at_times(table, points, exposure) if by_time else _at_points(table, points[:, 0])
        whole &= ~np.isnan(columns[channel]).all(axis=1) if by_time else np.isin(points[:, 0], table[:, 0])
    return {channel: found[whole] for channel, found in columns.items()}, points[whole, 0]


def _point_by_point(table: Array, points: Array) -> bool:
    """Say whether a stream has a record of each point, the last perhaps still to come; without times there is no other way."""
    times = table[:, 1], points[:, 1]
    if not all(np.isfinite(time).all() for time in times):
        return True
    both = min(len(table), len(points))
    spans = sorted(np.ptp(time[:both]) for time in times)
    return abs(len(table) - len(points)) <= 1 and bool(spans[1] <= ONE_RATE * spans[0])


def _at_points(table: Array, seq_num: Array) -> Array:
    """Pick the rows of `table` by sequence number; NaN where it has none."""
    at = np.searchsorted(table[:, 0], seq_num).clip(max=len(table) - 1)
    return np.where((table[at, 0] == seq_num)[:, None], table[at, 2:], np.nan)


def _at_times(table: Array, points: Array, exposure: Array | None) -> Array:
    """Average what another stream recorded over the exposure of each point, along straight lines between its records.

    A point's time is that of its end. NaN where an exposure reaches farther than one record beyond the first or the last.
    """
    steps = np.diff(points[:, 1])
    steps = np.concatenate([steps[:1], steps]) if len(steps) else np.zeros(len(points))
    if exposure is None or len(exposure) != len(points):
        exposure = steps
    exposure = np.maximum(np.where(exposure > 0, exposure, steps), SHORTEST)
    table = table[np.isfinite(table[:, 2:]).all(axis=1)]
    recorded, at = np.unique(table[:, 1], return_index=True)
    if len(recorded) < 2:
        return np.full((len(points), table.shape[1] - 2), np.nan)
    values, end = table[at, 2:] - table[at[0], 2:], points[:, 1] - recorded[0]
    recorded = recorded - recorded[0]  # small numbers: sums of large ones would cost digits
    interval = np.diff(recorded)[:, None]
    slope = np.diff(values, axis=0) / interval
    area = np.vstack([np.zeros(values.shape[1]), np.cumsum((values[1:] + values[:-1]) / 2 * interval, axis=0)])

    def until(time: Array) -> Array:
        row = (np.searchsorted(recorded, time, side="right") - 1).clip(0, len(recorded) - 2)
        since = (time - recorded[row])[:, None]
        return area[row] + (values[row] + slope[row] * since / 2) * since

    begin = end - exposure
    mean = (until(end) - until(begin)) / exposure[:, None] + table[at[0], 2:]
    covered = (begin >= -interval[0]) & (end <= recorded[-1] + interval[-1])
    return np.where(covered[:, None], mean, np.nan)


def named(columns: Mapping[str, Array]) -> dict[str, Array]:
    """Name each column by its channel; where one has several, all elements of its kind are counted from 1."""
    wide = {_kind(channel) for channel, found in columns.items() if found.shape[1] > 1}
    found_names: dict[str, Array] = {}
    counted: Counter[str] = Counter()
    for channel, found in columns.items():
        kind = _kind(channel)
        for column in found.T:
            counted[kind] += 1
            found_names[f"{kind}_{counted[kind]}" if kind in wide else channel] = column
    return found_names


def _kind(channel: str) -> str:
    kind, _, number = channel.rpartition("_")
    return kind if number.isdecimal() and kind else channel
