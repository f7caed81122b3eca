"""Connecting to a Tiled server, with errors a user can act on."""

import os
from collections.abc import Generator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import httpx

from xas_bluesky.errors import CatalogError
from xas_bluesky.results.server import Address

if TYPE_CHECKING:  # loading Tiled's client fixes its patience: see connect
    from tiled.client.container import Container

RUNS = "runs"
ANALYSES = "analyses"
REDUCED = "reduced"
SPECS = {
    RUNS: ("CatalogOfBlueskyRuns", "3.0"),
    ANALYSES: ("CatalogOfXASAnalyses", "1.0"),
    REDUCED: ("CatalogOfXASReducedScans", "1.0"),
}
REACH_LIMIT = 5.0
"""Seconds a server may take to answer at all."""


def connect(address: Address, *, shown: str, trust_env: bool) -> "Container":
    """Connect to the container at `address`, which messages call `shown`.

    `trust_env`: whether the environment's proxies count. Raises CatalogError.
    """
    # Tiled's client repeats a failed request ten times, up to 45 s, unless told otherwise before it is first imported
    os.environ.setdefault("TILED_RETRY_ATTEMPTS", "2")
    os.environ.setdefault("TILED_RETRY_TIMEOUT", "2")
    from tiled.client import from_context
    from tiled.client.container import Container
    from tiled.client.context import Context

    with _explained(shown):
        httpx.get(address.url, timeout=REACH_LIMIT, trust_env=trust_env)
        context, path = Context.from_any_uri(address.url, api_key=address.api_key, trust_env=trust_env)
        try:
            root = from_context(context, node_path_parts=path)
            if not isinstance(root, Container):
                raise CatalogError(f"catalog {shown}: this is a {type(root).__name__}; give the URL of a container")
            if any(spec.name == SPECS[RUNS][0] for spec in root.specs):
                raise CatalogError(f"catalog {shown}: this holds the runs themselves; give the container around it")
        except BaseException:
            context.close()
            raise
    return root


def make_containers(root: "Container", *, shown: str) -> None:
    """Make the containers of SPECS in `root` where they are missing."""
    from tiled.structures.core import Spec

    for key, (name, version) in SPECS.items():
        try:
            if key not in root:
                root.create_container(key, specs=[Spec(name, version)])
        except httpx.HTTPError as error:
            raise CatalogError(
                f"catalog {shown}: the container {key!r} could not be made ({error}); give a key that may write"
            ) from error


@contextmanager
def _explained(shown: str) -> Generator[None]:
    try:
        yield
    except CatalogError:
        raise
    except (httpx.TransportError, httpx.InvalidURL) as error:
        raise CatalogError(
            f"catalog {shown}: nothing answers there ({error}); check the address, and that the Tiled server runs"
        ) from error
    except httpx.HTTPStatusError as error:
        status = error.response.status_code
        if status in (401, 403):
            advice = "the server refuses the key; add ?api_key=… to the URL or set TILED_API_KEY"
        else:
            advice = f"the server answers with status {status}; give the URL of a Tiled server or container"
        raise CatalogError(f"catalog {shown}: {advice}") from error
    except Exception as error:  # whatever Tiled's client makes of a server that is not Tiled
        raise CatalogError(f"catalog {shown}: no Tiled server ({error}); give the URL of one") from error
