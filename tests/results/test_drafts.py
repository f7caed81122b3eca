import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest

from xas_bluesky.errors import CatalogError
from xas_bluesky.results import open_catalog
from xas_bluesky.results.catalog import DRAFTS
from xas_bluesky.results.drafts import Drafts
from xas_bluesky.results.record_file import from_text, to_text

ENDING = """
import os, sys
from pathlib import Path
from xas_bluesky.results.drafts import Drafts
from xas_bluesky.results.record_file import from_text

drafts = Drafts(Path(sys.argv[1]))
drafts.keep(from_text(Path(sys.argv[2]).read_text()))
os.kill(os.getpid(), 9)
"""


@pytest.fixture
def left(tmp_path, record):
    """A folder of drafts whose process was killed."""
    text = tmp_path / "record.json"
    text.write_text(to_text(record))
    ended = subprocess.run([sys.executable, "-c", ENDING, str(tmp_path / DRAFTS), str(text)], timeout=120)
    assert ended.returncode == -9
    return tmp_path / DRAFTS


def same(one, other):
    return to_text(one) == to_text(other)


def test_a_record_comes_back_from_its_text(record):
    again = from_text(to_text(record))
    assert same(again, record)
    assert again.ranking == record.ranking
    assert again.decisions[0].spent == record.decisions[0].spent
    assert np.array_equal(again.predicted.factors, record.predicted.factors)
    assert again.predicted.supported.dtype == np.bool_
    assert again.inputs.settings == record.inputs.settings
    assert same(again.inputs, record.inputs)


@pytest.mark.parametrize("text", ["", "{}", '{"$is": "Popen", "args": "ls"}', '{"$is": "AnalysisRecord"}', '{"$array": 3}'])
def test_other_text_is_refused(text):
    with pytest.raises(CatalogError, match="not a record"):
        from_text(text)


def test_the_newest_draft_of_a_run_counts_and_is_dropped(tmp_path, record):
    drafts = Drafts(tmp_path)
    drafts.keep(record)
    drafts.keep(replace(record, points=99))
    (kept,) = drafts.own()
    assert kept.points == 99
    assert same(kept.predicted, record.predicted)
    drafts.drop(record.raw_uid)
    assert drafts.own() == []
    drafts.close()
    assert list(tmp_path.iterdir()) == []


def test_a_living_process_keeps_its_drafts_to_itself(tmp_path, record):
    drafts = Drafts(tmp_path)
    drafts.keep(record)
    assert list(Drafts(tmp_path).left_over()) == []
    drafts.close()
    (found,) = Drafts(tmp_path).left_over()
    assert same(found, record)
    assert list(tmp_path.iterdir()) == []


def test_what_is_not_taken_stays(left, record):
    (found,) = [next(Drafts(left).left_over())]
    assert same(found, record)
    (again,) = Drafts(left).left_over()
    assert same(again, record)
    assert list(left.iterdir()) == []


def test_a_broken_draft_is_reported_and_stays(left, record, caplog):
    (file,) = left.glob(f"*/{record.raw_uid}.json")
    file.write_text("{")
    assert list(Drafts(left).left_over()) == []
    assert "cannot be read" in caplog.text
    assert file.exists()


@pytest.mark.slow
def test_opening_the_catalog_saves_what_a_killed_process_left(left, record):
    folder = left.parent / "catalog"
    with open_catalog(folder):
        pass
    left.rename(folder / DRAFTS)
    with open_catalog(folder) as catalog:
        ((key, container),) = catalog.analyses.items()
        assert container.metadata["raw_uid"] == record.raw_uid
        assert catalog.load(key).ranking == record.ranking
        assert not list((folder / DRAFTS).iterdir())
        catalog.save(record)
        assert len(catalog.analyses) == 2
    assert not list((folder / DRAFTS).iterdir())
