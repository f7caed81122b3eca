"""The points of one stream, as they come in."""

from collections.abc import Sequence

import numpy as np

from xas_bluesky.spectra import Array


class Rows:
    """Hold rows of numbers, the first of which is the point's sequence number.

    An append costs the same however many there are. One thread may append while others read.
    """

    def __init__(self, width: int) -> None:
        self._values = np.empty((64, width))
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def append(self, row: Sequence[float]) -> None:
        """Take one row."""
        if self._count == len(self._values):
            grown = np.empty((2 * self._count, self._values.shape[1]))
            grown[: self._count] = self._values
            self._values = grown
        self._values[self._count] = row
        self._count += 1  # last: a reader on another thread sees whole rows only

    def read(self) -> Array:
        """Return the rows (n, width) by sequence number; of those received twice, the later."""
        count, values = self._count, self._values
        rows = values[:count]
        if (np.diff(rows[:, 0]) > 0).all():
            return rows.copy()
        _, last = np.unique(rows[::-1, 0], return_index=True)
        return rows[count - 1 - last]
