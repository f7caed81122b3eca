import json
import os

import pytest

from xas_bluesky.errors import CatalogError
from xas_bluesky.results import open_catalog


@pytest.mark.parametrize("where", ["notes.txt", "notes.txt/below", "documents", "broken", "empty", "missing"])
def test_what_is_no_catalog_is_refused(tmp_path, where):
    (tmp_path / "notes.txt").write_text("not a catalog")
    for folder in ("documents", "broken", "empty"):
        (tmp_path / folder).mkdir()
    (tmp_path / "documents" / "thesis.tex").touch()
    (tmp_path / "broken" / "catalog.db").write_text("not a database")
    with pytest.raises(CatalogError, match=rf"{where}: .*; give"):
        open_catalog(tmp_path / where, create=where not in ("empty", "missing"))
    assert not (tmp_path / "missing").exists()


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_folder_that_may_not_be_written_is_refused(tmp_path):
    tmp_path.chmod(0o500)
    with pytest.raises(CatalogError, match="may not write"):
        open_catalog(tmp_path)


def test_other_kinds_of_url_are_refused():
    with pytest.raises(CatalogError, match="http"):
        open_catalog("ftp://beamline/catalog")


OPEN_AND_WAIT = """
    catalog = open_catalog(folder)
    print(json.dumps({"owner": "tiled.server" in sys.modules, "found": catalog.search()}), flush=True)
    sys.stdin.read()
"""


@pytest.mark.slow
def test_catalog_outlives_its_owner(tmp_path, in_process, record):
    """An owner is killed; two processes then open the folder at once, find everything, and end without closing it."""
    owner = in_process(OPEN_AND_WAIT, tmp_path)
    assert json.loads(owner.stdout.readline())["owner"]
    with open_catalog(tmp_path) as catalog:
        key = catalog.save(record)
        owner.kill()
        owner.wait()
        with pytest.raises(CatalogError, match="check that its server runs"):
            catalog.search()
    address = (tmp_path / "server.json").read_text()

    both = [in_process(OPEN_AND_WAIT, tmp_path) for _ in range(2)]
    answers = [json.loads(process.stdout.readline()) for process in both]
    assert sorted(answer["owner"] for answer in answers) == [False, True]
    for answer in answers:
        assert [found["record"] for found in answer["found"]] == [key]
    assert (tmp_path / "server.json").read_text() != address

    for process in both:
        process.stdin.close()
    for process in both:
        assert process.wait(timeout=20) == 0
    assert not (tmp_path / "server.json").exists()
