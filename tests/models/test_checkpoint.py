import json
from collections.abc import Callable
from dataclasses import fields
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from xas_bluesky.errors import ModelError
from xas_bluesky.models import Ensemble, ModelCard, collate, hash_files, load, save
from xas_bluesky.models.checkpoint import PARTS
from xas_bluesky.structures import AtomGraph


@pytest.fixture
def folder(tmp_path: Path, ensemble: Ensemble, card: ModelCard) -> Path:
    save(tmp_path / "deep" / "model", ensemble, card)
    return tmp_path / "deep" / "model"


def test_loads_bit_for_bit_what_was_saved(folder: Path, ensemble: Ensemble, card: ModelCard, graph: Callable[..., AtomGraph]):
    loaded, read = load(folder)
    assert read == card
    for (edge, one), part in product(loaded.edges.items(), PARTS):
        for field in fields(PARTS[part]):
            values = (getattr(getattr(each, part), field.name) for each in (one, ensemble.edges[edge]))
            assert np.array_equal(*values), (edge, part, field.name)
    for one, other in zip(loaded.networks, ensemble.networks, strict=True):
        assert not one.training
        assert one.state_dict().keys() == other.state_dict().keys()
        assert all(torch.equal(value, other.state_dict()[key]) for key, value in one.state_dict().items())
    batch = collate([graph("CS"), graph("CSSC")])
    for one, other in zip(loaded.sites(batch, "S K"), ensemble.sites(batch, "S K"), strict=True):
        assert repr(one) == repr(other)


def test_saving_again_gives_the_same_files(folder: Path, tmp_path: Path):
    save(tmp_path / "again", *load(folder))
    assert hash_files(tmp_path / "again") == hash_files(folder)


def test_the_hash_follows_both_files(folder: Path):
    first = hash_files(folder)
    (folder / "model.json").write_text((folder / "model.json").read_text() + " ")
    second = hash_files(folder)
    content = bytearray((folder / "weights.safetensors").read_bytes())
    content[-1] ^= 1
    (folder / "weights.safetensors").write_bytes(content)
    assert len({first, second, hash_files(folder)}) == 3
    assert len(first) == 16


def described(folder: Path) -> dict[str, Any]:
    return json.loads((folder / "model.json").read_text())


def describe(folder: Path, **changes: Any) -> None:
    (folder / "model.json").write_text(json.dumps({**described(folder), **changes}))


def with_kinds(folder: Path, kinds: list[str]) -> dict[str, Any]:
    return {edge: {**card, "kinds": kinds} for edge, card in described(folder)["edges"].items()}


def change_tensors(folder: Path, change: Callable[[dict[str, torch.Tensor]], object]) -> None:
    tensors = load_file(folder / "weights.safetensors")
    change(tensors)
    save_file(tensors, folder / "weights.safetensors")


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


BREAKAGES: dict[str, Callable[[Path], object]] = {
    "no description": lambda folder: (folder / "model.json").unlink(),
    "no weights": lambda folder: (folder / "weights.safetensors").unlink(),
    "description cut": lambda folder: cut(folder / "model.json"),
    "weights cut": lambda folder: cut(folder / "weights.safetensors"),
    "description empty": lambda folder: (folder / "model.json").write_text(""),
    "description a list": lambda folder: (folder / "model.json").write_text("[1, 2]"),
    "description a number": lambda folder: (folder / "model.json").write_text("1"),
    "description not text": lambda folder: (folder / "model.json").write_bytes(b"\xff\xfe\x00"),
    "foreign format": lambda folder: describe(folder, format="something else 3"),
    "foreign description": lambda folder: (folder / "model.json").write_text('{"hidden": 128}'),
    "wrong type": lambda folder: describe(folder, data="some"),
    "settings missing": lambda folder: describe(folder, settings=None),
    "another size": lambda folder: describe(folder, settings={"points": {"S K": 5, "O K": 6}, "width": 16}),
    "impossible size": lambda folder: describe(folder, settings={"points": {"S K": 5, "O K": 6}, "width": -1}),
    "unknown body": lambda folder: describe(folder, settings={"points": {"S K": 5, "O K": 6}, "body": "magic"}),
    "networks missing": lambda folder: describe(folder, networks=3),
    "one network": lambda folder: describe(folder, networks=1),
    "an edge missing": lambda folder: describe(folder, edges={"S K": described(folder)["edges"]["S K"]}),
    "no edges": lambda folder: describe(folder, edges={}),
    "kinds missing": lambda folder: describe(folder, edges=with_kinds(folder, ["CS"])),
    "array missing": lambda folder: change_tensors(folder, lambda tensors: tensors.pop("S K.scaling.center")),
    "array short": lambda folder: change_tensors(folder, lambda t: t.update({"S K.scaling.center": torch.zeros(4)})),
    "array flat": lambda folder: change_tensors(folder, lambda t: t.update({"O K.errors.residual": torch.zeros(6)})),
    "not a number": lambda folder: change_tensors(folder, lambda t: t["S K.errors.known"].fill_(float("nan"))),
    "foreign weights": lambda folder: save_file({"weight": torch.zeros(3)}, folder / "weights.safetensors"),
}


@pytest.mark.parametrize("breakage", BREAKAGES)
def test_a_broken_or_foreign_model_is_refused(folder: Path, breakage: str):
    BREAKAGES[breakage](folder)
    with pytest.raises(ModelError, match=r"deep/model.*train it") as refused:
        load(folder)
    assert "\n" not in str(refused.value)
    assert len(str(refused.value)) < 500


def test_a_missing_model_is_refused(tmp_path: Path):
    with pytest.raises(ModelError, match=r"nowhere: the model cannot be read \(.*install the package again"):
        load(tmp_path / "nowhere")


@pytest.mark.parametrize("name", ["model.json", "weights.safetensors"])
def test_loading_runs_no_code(folder: Path, tmp_path: Path, name: str):
    pickled = b"cos\nmkdir\n(S'" + str(tmp_path / "it_ran").encode() + b"'\ntR."  # makes a folder when unpickled
    (folder / name).write_bytes(pickled)
    with pytest.raises(ModelError):
        load(folder)
    assert not (tmp_path / "it_ran").exists()


def test_a_pickled_checkpoint_beside_the_model_is_not_looked_at(folder: Path, tmp_path: Path):
    for name in ("weights.pt", "weights.pkl", "model.pth"):
        (folder / name).write_bytes(b"cos\nmkdir\n(S'" + str(tmp_path / "it_ran").encode() + b"'\ntR.")
    load(folder)
    assert not (tmp_path / "it_ran").exists()
