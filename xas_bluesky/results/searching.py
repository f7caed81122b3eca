"""Search analysis records: every condition is an equality or a comparison that the server answers."""

import re
from collections import Counter
from collections.abc import Generator
from datetime import date, datetime, timedelta
from typing import TYPE_CHECKING, Any, TypedDict, Unpack

from xas_bluesky.edges import find_edge
from xas_bluesky.errors import CatalogError, SettingsError
from xas_bluesky.results.connection import ANALYSES, RUNS, SPECS
from xas_bluesky.results.found import Records
from xas_bluesky.results.metadata import BY_FORMULA, BY_INCHIKEY, BY_NAME, escape, kind_of_stop

if TYPE_CHECKING:
    from tiled.client.container import Container

INCHIKEY = re.compile(r"[A-Z]{14}-[A-Z]{10}-[A-Z]")
FORMULA = re.compile(r"(?:[A-Z][a-z]?\d*)+(?:[+-]\d*)?")

When = str | float | date
"""A date or time in ISO 8601, local unless it says otherwise, one of Python's, or unix seconds."""


class Conditions(TypedDict, total=False):
    """Name what may be asked of records; None asks nothing. See `search`."""

    sample: str | None
    edge: str | None
    candidate: str | None
    formula: str | None
    min_probability: float | None
    since: When | None
    until: When | None
    stop_reason: str | None
    exit_status: str | None
    model: str | None
    raw_uid: str | None
    data_session: str | None
    proposal: str | int | None
    cycle: str | None


EQUAL = ("sample", "exit_status", "model", "raw_uid", "data_session", "cycle")
"""The conditions that are asked as they are given."""


def search(client: Any, **conditions: Unpack[Conditions]) -> Records:
    """Find the analysis records that meet every condition given, newest first.

    `client`: a Catalog, or a client of Tiled or databroker for the container that holds `runs` and `analyses`, or for one of
    the two. `candidate`: a name or an InChIKey, and `formula`, in any order of elements, are found wherever they rank;
    `min_probability` is asked of what is named by them, or else of the best candidate. `since` and `until`: when the answer
    was given; a day includes all of it. `stop_reason`: all of it, or what it begins with up to a colon ("sure", "budget").
    `proposal`: its number. Raises EdgeError or SettingsError for a condition that makes no sense, and CatalogError where
    there are no records to search.
    """
    queries = list(_queries(conditions))
    found = analyses_of(client)
    for query in queries:
        found = found.search(query)
    return Records(found.sort(("time", -1)))


def analyses_of(client: Any) -> "Container":
    """Return the container of the records that belong to a catalog or to a client of Tiled; raises CatalogError."""
    from tiled.client import from_context
    from tiled.client.container import Container

    if not isinstance(client, Container):
        found = getattr(client, ANALYSES, None)
        if not isinstance(found, Container):
            raise SettingsError(f"client: got {type(client).__name__}, expected a Catalog or a client of a Tiled container")
        return found
    specs = {spec.name for spec in client.specs}
    if SPECS[ANALYSES][0] in specs:
        return client
    try:
        if SPECS[RUNS][0] in specs:
            beside: Any = [*client.path_parts[:-1], ANALYSES]
            return from_context(client.context, node_path_parts=beside)
        return client[ANALYSES]
    except KeyError as error:
        raise CatalogError(
            f"client: there is no container {ANALYSES!r} in {client.uri}, or none that you may read; give the container that "
            "holds the runs and the analyses, or open the catalog once with a key that may write"
        ) from error


def _queries(conditions: Conditions) -> Generator[Any]:
    from tiled.queries import Key

    given: dict[str, Any] = {name: value for name, value in conditions.items() if value is not None}
    if unknown := sorted(set(given) - set(Conditions.__annotations__)):
        raise SettingsError(f"{unknown[0]}: no condition, expected one of {', '.join(Conditions.__annotations__)}")
    for name in sorted(set(given) & {*EQUAL, "edge", "candidate", "formula", "stop_reason"}):
        if not isinstance(given[name], str) or not given[name].strip():
            raise SettingsError(f"{name}: got {given[name]!r}, expected a text that is not empty")
    for name in EQUAL:
        if name in given:
            yield Key(name) == given[name]
    if "edge" in given:
        yield Key("edge") == str(find_edge(given["edge"]))
    if "proposal" in given:
        yield Key("proposal_id") == str(given["proposal"])
    if "stop_reason" in given:
        reason = given["stop_reason"]
        yield Key("stop_reason" if kind_of_stop(reason) != reason else "stop_kind") == reason
    yield from _of_candidates(given)
    if "since" in given:
        yield Key("time") >= _seconds("since", given["since"])
    if "until" in given:
        yield Key("time") < _seconds("until", given["until"], whole_day=True)


def _of_candidates(given: dict[str, Any]) -> Generator[Any]:
    """Ask for what is ranked: a number by its name is there, or is not; the least asked for counts for the first named."""
    from tiled.queries import Key

    least = given.get("min_probability")
    if least is not None and (isinstance(least, bool) or not isinstance(least, int | float) or not 0 <= least <= 1):
        raise SettingsError(f"min_probability: got {least!r}, expected a number from 0 to 1")
    asked: list[str] = []
    if "candidate" in given:
        name = given["candidate"]
        asked.append(f"{BY_INCHIKEY if INCHIKEY.fullmatch(name) else BY_NAME}.{escape(name)}")
    if "formula" in given:
        asked.append(f"{BY_FORMULA}.{escape(in_hill_order(given['formula']))}")
    if least is not None and not asked:
        asked.append("best_probability")
    for place, key in enumerate(asked):
        yield Key(key) >= (float(least or 0) if place == 0 else 0.0)


def in_hill_order(formula: str) -> str:
    """Write a formula in Hill's order: with carbon, that and hydrogen first; the rest by the alphabet, then the charge."""
    text = formula.replace(" ", "")
    if not FORMULA.fullmatch(text):
        raise SettingsError(f"formula: got {formula!r}, expected element symbols and numbers, as in C5H11NO4S")
    count: Counter[str] = Counter()
    for symbol, number in re.findall(r"([A-Z][a-z]?)(\d*)", text):
        count[symbol] += int(number or 1)
    first = ("C", "H") if "C" in count else ()
    charge = re.search(r"[+-]\d*$", text)
    ordered = sorted(count, key=lambda symbol: (first.index(symbol) if symbol in first else len(first), symbol))
    return "".join(f"{symbol}{count[symbol] if count[symbol] > 1 else ''}" for symbol in ordered) + (
        charge[0] if charge else ""
    )


def _seconds(name: str, when: When, *, whole_day: bool = False) -> float:
    """Return a time in unix seconds, of a day its beginning, or with `whole_day` its end."""
    if isinstance(when, int | float) and not isinstance(when, bool):
        return float(when)
    given: Any = when
    try:
        if isinstance(given, str):
            given = date.fromisoformat(given) if len(given) == len("2026-12-01") else datetime.fromisoformat(given)
        if isinstance(given, datetime):
            return given.timestamp()
        return datetime.combine(given + timedelta(days=whole_day), datetime.min.time()).timestamp()
    except (ValueError, TypeError) as error:
        raise SettingsError(f"{name}: got {when!r}, expected a date or time such as 2026-12-01 or 2026-12-01T14:30") from error
