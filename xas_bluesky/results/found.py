"""What a search found: a lazy sequence of records, and one record; nothing is fetched before it is asked for."""

from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cached_property
from typing import TYPE_CHECKING, Any, overload

import httpx

from xas_bluesky.errors import CatalogError
from xas_bluesky.results.metadata import FIGURES
from xas_bluesky.results.record_nodes import read_measured, read_predicted, read_ranking, read_record, summarize
from xas_bluesky.results.records import AnalysisRecord
from xas_bluesky.spectra import Absorption, PredictedSpectra

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from pandas import DataFrame
    from tiled.client.container import Container

COLUMNS = (
    *("record", "raw_uid", "sample", "edge", "best_candidate", "best_probability", "inchikey", "formula"),
    *(name for name in FIGURES if name != "seed"),
    *("exit_status", "model", "data_session", "proposal_id", "cycle"),
)
"""The columns of `Records.to_dataframe`."""


class FoundRecord:
    """Stand for one record: `key` and `metadata` are there, the rest is fetched when asked for."""

    def __init__(self, key: str, container: "Container") -> None:
        self.key = key
        self.container = container
        self.metadata: Mapping[str, Any] = dict(container.metadata)

    def __repr__(self) -> str:
        said = self.metadata
        return (
            f"<record {self.key}: {said['sample']}, {said['edge']}, "
            f"{said.get('best_candidate')} {said.get('best_probability', float('nan')):.3f}>"
        )

    def load(self) -> AnalysisRecord:
        """Fetch all of it."""
        with _explained(self.key):
            return read_record(self.container)

    def to_json(self) -> dict[str, Any]:
        """Return it as plain JSON, without arrays; only a long ranking is fetched for that."""
        with _explained(self.key):
            return summarize(self.key, self.metadata, self.nodes if "ranking" not in self.metadata else {})

    @cached_property
    def nodes(self) -> dict[str, Any]:
        """Return its arrays and tables by name, none of them read."""
        return dict(self.container.items())

    @property
    def best(self) -> tuple[str, float]:
        """Return the name of the best candidate and its energy shift (eV)."""
        with _explained(self.key):
            ranking, _ = read_ranking(self.metadata, self.nodes)
        best = max(ranking, key=lambda entry: entry.probability)
        return best.candidate, best.energy_shift

    @property
    def predicted(self) -> PredictedSpectra:
        """Fetch what was predicted."""
        with _explained(self.key):
            return read_predicted(self.metadata, self.nodes)

    @property
    def measured(self) -> Absorption | None:
        """Fetch the absorption that the last decision saw; None in a record from before it was kept."""
        with _explained(self.key):
            return read_measured(self.nodes["measured"]) if "measured" in self.nodes else None

    def plot(self, ax: "Axes | None" = None) -> "Axes":
        """Plot what was measured over what was predicted for the best candidate; on new axes if None are given."""
        from xas_bluesky.results.plotting import plot_record

        return plot_record(self, ax)


class Records(Sequence[FoundRecord]):
    """Hold what a search found, newest first; its length, an item or a slice fetch no more than that from the server.

    What is found anew shifts the places of older records: take what you need in one slice or one loop.
    """

    def __init__(self, container: "Container", part: slice | None = None) -> None:
        self._container = container
        self._part = part or slice(None)

    def __repr__(self) -> str:
        return f"<{len(self)} analysis records>"

    def __len__(self) -> int:
        return len(self._places)

    @overload
    def __getitem__(self, index: int) -> FoundRecord: ...
    @overload
    def __getitem__(self, index: slice) -> "Records": ...
    def __getitem__(self, index: int | slice) -> "FoundRecord | Records":
        """Fetch one record, or narrow to a slice of them, which fetches no record yet."""
        if isinstance(index, slice):
            whole = self._part == slice(None)
            return Records(self._container, index if whole else _as_slice(self._places[index]))
        try:
            # counted from the front, no length is needed
            place = index if self._part == slice(None) and index >= 0 else self._places[index]
            with _explained("the search"):
                return FoundRecord(*self._container.items()[place])
        except IndexError:
            raise IndexError(f"record {index} of {len(self)}: there is no such record") from None

    def __iter__(self) -> Iterator[FoundRecord]:
        for key, container in self._fetched():
            yield FoundRecord(key, container)

    def to_dataframe(self) -> "DataFrame":
        """Return a table, a row a record, with the columns COLUMNS; no array is fetched.

        `time` is UTC; what a record does not say is missing.
        """
        from pandas import DataFrame, to_datetime

        rows = [{**record.metadata, "record": record.key} for record in self]
        table = DataFrame([{name: row.get(name) for name in COLUMNS} for row in rows], columns=list(COLUMNS))
        return table.assign(time=to_datetime(table["time"].astype(float), unit="s", utc=True))

    def plot(self, ax: "Axes | None" = None) -> "Axes":
        """Plot the probability of the best candidate of each record over time; on new axes if None are given."""
        from xas_bluesky.results.plotting import plot_overview

        return plot_overview(self.to_dataframe(), ax)

    @cached_property
    def _places(self) -> range:
        """Ask the server how many there are, and return the places of ours among these."""
        with _explained("the search"):
            # a client that has fetched a page knows only a lower bound
            return range(len(self._container.new_variation()))[self._part]

    def _fetched(self) -> Iterator[tuple[str, "Container"]]:
        start, stop, step = self._part.start or 0, self._part.stop, self._part.step or 1
        with _explained("the search"):
            if self._part == slice(None):
                yield from self._container.items()
            elif step == 1 and start >= 0 and stop is not None and stop >= 0:
                if stop > start:  # Tiled's client asks without end for nothing
                    yield from self._container.items()[start:stop]
            elif places := self._places:
                first, last = min(places[0], places[-1]), max(places[0], places[-1])
                covered = self._container.items()[first : last + 1]
                yield from (covered[place - first] for place in places if place - first < len(covered))


def _as_slice(places: range) -> slice:
    """Return the slice of all records that these places are."""
    if not places:
        return slice(0, 0)
    return slice(places.start, None if places.stop < 0 else places.stop, places.step)


@contextmanager
def _explained(what: str) -> Generator[None]:
    try:
        yield
    except (httpx.HTTPError, KeyError) as error:
        raise CatalogError(
            f"record {what}: it could not be read ({error}); check that the server runs and that your key may read it"
        ) from error
