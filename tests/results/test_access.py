"""Two users of a Tiled server with its tag-based access policy: each reads the records of their own runs only."""

import asyncio
import json
from dataclasses import replace

import httpx
import numpy as np
import pytest
from bluesky import RunEngine
from bluesky.plans import count
from ophyd.sim import SynSignal
from sqlalchemy.ext.asyncio import create_async_engine
from tiled.access_control.access_tags import update_access_tags_tables
from tiled.client import from_uri
from tiled.structures.core import Spec

from xas_bluesky.errors import CatalogError
from xas_bluesky.results import open_catalog, search
from xas_bluesky.results.connection import SPECS
from xas_bluesky.results.tiled_thread import make_database
from xas_bluesky.spectra import Absorption, ReducedScan, Spectrum

pytestmark = pytest.mark.slow
PASSWORDS = {"staff": "writes", "alice": "first", "bob": "second"}
SCOPES = ["read:metadata", "read:data"]
PROVIDER = "toy"


async def make_tags(file):
    """Make a catalog whose tags let alice read one proposal and bob another."""
    await make_database(file)
    engine = create_async_engine(f"sqlite+aiosqlite:///{file}")
    readers = {"pass-1": {"alice": SCOPES}, "pass-2": {"bob": SCOPES}}
    await update_access_tags_tables(engine, {**readers, "public": {}}, {tag: ["staff"] for tag in readers}, {"public"})
    await engine.dispose()


@pytest.fixture(scope="module")
def url(serving, tmp_path_factory):
    folder = tmp_path_factory.mktemp("guarded")
    asyncio.run(make_tags(folder / "catalog.db"))
    storage = [str(folder / "data"), f"duckdb:///{folder / 'tables.db'}"]
    config = {
        "authentication": {
            "providers": [
                {
                    "provider": PROVIDER,
                    "authenticator": "tiled.authenticators:DictionaryAuthenticator",
                    "args": {"users_to_passwords": PASSWORDS},
                }
            ],
            "tiled_admins": [{"provider": PROVIDER, "id": "staff"}],
            "secret_keys": ["of this test only"],
        },
        "access_control": {
            "access_policy": "tiled.access_control.access_policies:TagBasedAccessPolicy",
            "args": {
                "provider": PROVIDER,
                "access_tags_parser": "tiled.access_control.access_tags:AccessTagsParser",
            },
        },
        "database": {"uri": f"sqlite:///{folder / 'users.db'}", "init_if_not_exists": True},
        "trees": [
            {
                "path": "/",
                "tree": "catalog",
                "args": {"uri": str(folder / "catalog.db"), "writable_storage": storage, "top_level_access_tags": ["public"]},
            }
        ],
    }
    (folder / "config.yml").write_text(json.dumps(config))
    return serving("config", str(folder / "config.yml"))


@pytest.fixture(scope="module")
def clients(url):
    """A client for each user, with an API key of theirs."""

    def log_in(user):
        form = {"grant_type": "password", "username": user, "password": PASSWORDS[user]}
        token = httpx.post(f"{url}/api/v1/auth/provider/{PROVIDER}/token", data=form).raise_for_status().json()["access_token"]
        headers = {"Authorization": f"Bearer {token}"}
        wanted = {"scopes": ["inherit"], "expires_in": 3600}
        return httpx.post(f"{url}/api/v1/auth/apikey", json=wanted, headers=headers).raise_for_status().json()["secret"]

    made = {user: from_uri(f"{url}?api_key={log_in(user)}") for user in PASSWORDS}
    for key, spec in SPECS.items():
        made["staff"].create_container(key, specs=[Spec(*spec)], access_tags=["public"])
    yield made
    for client in made.values():
        client.context.close()


@pytest.fixture(scope="module")
def keys(url, clients, record):
    """Keys of the records of two runs, each of another proposal, by its tag."""
    secret = clients["staff"].context.api_key
    engine = RunEngine({}, call_returns_result=True)
    found = {}
    with open_catalog(f"{url}?api_key={secret}") as catalog:
        writer = catalog.writer()
        token = engine.subscribe(writer)
        for tag in ("pass-1", "pass-2"):
            number = int(tag[-1])
            said = {
                "tiled_access_tags": [tag],
                "data_session": tag,
                "proposal": {"proposal_id": number, "title": "Sulfur"},
                "cycle": "2026-3",
            }
            (uid,) = engine(count([SynSignal(lambda: 1.0, name="i0")], num=2), **said).run_start_uids
            found[tag] = uid
        engine.unsubscribe(token)
        writer.close()
        assert writer.unwritten == []
        kept = {tag: catalog.save(replace(record, raw_uid=uid, sample=tag)) for tag, uid in found.items()}
        for uid in found.values():
            catalog.save_reduced(small_scan(uid))
    return kept


def small_scan(uid):
    energy = np.linspace(2460.0, 2490.0, 5)
    absorption = Absorption(energy, np.arange(5.0), np.full(5, 0.1))
    spectrum = Spectrum(energy, {"mu": np.arange(5.0)}, {"uid": uid, "edge": "S K"})
    return ReducedScan(spectrum, absorption, None, None, 0.0, None, "below the edge", {}, ())


def test_a_record_belongs_to_whom_its_run_belongs(clients, keys):
    for client in (clients["staff"], clients["alice"]):
        (found,) = search(client, sample="pass-1")
        assert found.key == keys["pass-1"]
        assert list(found.container.access_tags) == ["pass-1"]
        assert found.metadata["data_session"] == "pass-1"
        assert found.metadata["proposal"] == {"proposal_id": 1, "title": "Sulfur"}
        assert found.metadata["cycle"] == "2026-3"
    assert len(search(clients["staff"])) == 2
    assert [found.key for found in search(clients["staff"], proposal=2, data_session="pass-2", cycle="2026-3")] == [
        keys["pass-2"]
    ]


@pytest.mark.usefixtures("keys")
def test_its_user_reads_all_of_it(clients, record):
    loaded = search(clients["alice"])[0].load()
    assert loaded.ranking == record.ranking
    assert loaded.decisions == record.decisions
    assert loaded.inputs.budget == record.inputs.budget
    np.testing.assert_array_equal(loaded.measured.mu, record.measured.mu)
    np.testing.assert_array_equal(loaded.inputs.population.mean, record.inputs.population.mean)
    assert [len(clients["alice"][container]) for container in SPECS] == [1, 1, 1]


def test_another_user_cannot_read_it(clients, keys):
    bob, key = clients["bob"], keys["pass-1"]
    assert [found.metadata["sample"] for found in search(bob)] == ["pass-2"]
    for conditions in ({"sample": "pass-1"}, {"candidate": "cysteine", "data_session": "pass-1"}):
        assert len(search(bob, **conditions)) == 0
    assert [len(bob[container]) for container in SPECS] == [1, 1, 1]
    address = f"{bob.uri}/analyses/{key}".replace("//analyses", "/analyses")
    for path in (address, *(f"{address}/{node}" for node in ("ranking", "decisions", "predicted", "measured", "inputs"))):
        assert bob.context.http_client.get(path).status_code == 404
    reading = address.replace("/metadata/", "/array/full/")
    assert bob.context.http_client.get(f"{reading}/predicted").status_code == 404
    with pytest.raises(KeyError):
        bob["analyses", key]
    with (
        open_catalog(f"{bob.context.api_uri}?api_key={bob.context.api_key}") as catalog,
        pytest.raises(CatalogError, match="no analysis record"),
    ):
        catalog.load(key)
