"""Who may read what is kept beside a run: those who may read the run."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from xas_bluesky.results.replay import Documents

if TYPE_CHECKING:
    from tiled.client.container import Container

BELONGING = ("data_session", "proposal", "cycle")
"""What a start document says of whose run it is."""
TAGS = "tiled_access_tags"
"""What Tiled's writer of runs takes the tags of a run from, in its start document."""


@dataclass(frozen=True, slots=True)
class Access:
    """Hold the access tags of a run and what its start document says of whose it is.

    `tags` None: a server with an access policy gives what is written to its writer alone, one without knows no tags.
    """

    tags: list[str] | None = None
    belonging: Mapping[str, Any] = field(default_factory=dict[str, Any])

    def metadata(self) -> dict[str, Any]:
        """Return what is searched: `data_session`, `proposal`, `cycle` as in the run, and `proposal_id`, a text."""
        proposal = self.belonging.get("proposal")
        number = proposal.get("proposal_id") if isinstance(proposal, Mapping) else proposal
        return {**self.belonging, **({} if number is None else {"proposal_id": str(number)})}


OPEN = Access()


def access_of(runs: "Container", raw_uid: str, backup: Documents) -> Access:
    """Return the access of a run, from its node in Tiled, or else from its start document in `backup`."""
    try:
        run: Any = runs.get(raw_uid, None)
    except ValueError:  # the client of runs takes the beginning of a uid too, from five characters on
        run = None
    if run is not None:
        tags = run.item["attributes"].get("access_tags")
        return _access(run.metadata["start"], tags)
    start = next((doc for name, doc in backup if name == "start"), {})
    return _access(start, start.get(TAGS))


def _access(start: Mapping[str, Any], tags: Any) -> Access:
    return Access(sorted(tags) if tags else None, {name: start[name] for name in BELONGING if name in start})
