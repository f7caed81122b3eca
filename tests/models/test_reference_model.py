import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from torch_geometric.data import Batch

from xas_bluesky.candidates import Candidate
from xas_bluesky.errors import EdgeError, ModelError
from xas_bluesky.models.message_passing import MessagePassing, MessagePassingSettings, bond_graph
from xas_bluesky.models.reference_model import ReferenceEdge, ReferenceModel, load_reference, save_reference
from xas_bluesky.structures import embed, read_molecule

POINTS = {"O K": 7, "N K": 5}


def edge(points: int) -> ReferenceEdge:
    random = np.random.default_rng(points)
    return ReferenceEdge(
        network=MessagePassing(MessagePassingSettings(points=points, hidden=8, messages=2)).eval(),
        energy=530 + 0.2 * np.arange(points),
        center=random.normal(size=points),
        scale=0.1 + 0.2,
        residual=random.normal(size=(3, points)),
        rest=random.uniform(size=points),
    )


@pytest.fixture(scope="module")
def model() -> ReferenceModel:
    torch.manual_seed(1)
    return ReferenceModel({name: edge(points) for name, points in POINTS.items()})


@pytest.fixture(scope="module")
def batch() -> Batch:
    molecules = (embed(read_molecule(Candidate("x", smiles), "O"), "x") for smiles in ("CO", "NC=O"))
    return Batch.from_data_list([bond_graph(molecule) for molecule in molecules])


@pytest.fixture
def folder(tmp_path: Path, model: ReferenceModel) -> Path:
    save_reference(tmp_path / "deep" / "model", model)
    return tmp_path / "deep" / "model"


@pytest.mark.parametrize("name", POINTS)
def test_predicts_on_the_scale_of_its_edge_with_one_size_of_errors(model: ReferenceModel, batch: Batch, name: str):
    mean, factors, rest = model.predict(batch, name)
    found = model.edges[name]
    with torch.inference_mode():
        outputs = found.network(batch).double().numpy()
    assert np.allclose(mean, found.center + 0.3 * outputs)
    assert factors.shape == (2, 3, POINTS[name])
    assert rest.shape == (2, POINTS[name])
    assert all(np.array_equal(each, found.residual) for each in factors)
    assert all(np.array_equal(each, found.rest) for each in rest)


def test_an_edge_without_a_network_is_refused(model: ReferenceModel, batch: Batch):
    with pytest.raises(EdgeError, match=r"'Cu K'.*'O K', 'N K'"):
        model.predict(batch, "Cu K")


def test_loads_bit_for_bit_what_was_saved(folder: Path, tmp_path: Path, model: ReferenceModel, batch: Batch):
    loaded = load_reference(folder)
    assert loaded.edges.keys() == model.edges.keys()
    for name in POINTS:
        assert np.array_equal(loaded.edges[name].energy, model.edges[name].energy)
        assert not loaded.edges[name].network.training
        for one, other in zip(loaded.predict(batch, name), model.predict(batch, name), strict=True):
            assert np.array_equal(one, other)
    save_reference(tmp_path / "again", loaded)
    for file in ("model.json", "weights.safetensors"):
        assert (tmp_path / "again" / file).read_bytes() == (folder / file).read_bytes()


def describe(folder: Path, change: Callable[[dict[str, Any]], object]) -> None:
    described = json.loads((folder / "model.json").read_text())
    change(described)
    (folder / "model.json").write_text(json.dumps(described))


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
    "description a list": lambda folder: (folder / "model.json").write_text("[1, 2]"),
    "description not text": lambda folder: (folder / "model.json").write_bytes(b"\xff\xfe\x00"),
    "foreign format": lambda folder: describe(folder, lambda d: d.update(format="xas_bluesky ensemble 2")),
    "no edges": lambda folder: describe(folder, lambda d: d.update(edges={})),
    "edges missing": lambda folder: describe(folder, lambda d: d.pop("edges")),
    "an edge more": lambda folder: describe(folder, lambda d: d["edges"].update({"C K": d["edges"]["O K"]})),
    "scale not a number": lambda folder: describe(folder, lambda d: d["edges"]["O K"].update(scale="large")),
    "another size": lambda folder: describe(folder, lambda d: d["edges"]["O K"]["settings"].update(hidden=16)),
    "impossible size": lambda folder: describe(folder, lambda d: d["edges"]["O K"]["settings"].update(hidden=-1)),
    "other points": lambda folder: describe(folder, lambda d: d["edges"]["O K"]["settings"].update(points=5)),
    "array missing": lambda folder: change_tensors(folder, lambda t: t.pop("O K.center")),
    "array short": lambda folder: change_tensors(folder, lambda t: t.update({"O K.rest": torch.zeros(4)})),
    "array flat": lambda folder: change_tensors(folder, lambda t: t.update({"O K.residual": torch.zeros(7)})),
    "not finite": lambda folder: change_tensors(folder, lambda t: t["N K.center"].fill_(float("nan"))),
    "foreign weights": lambda folder: save_file({"weight": torch.zeros(3)}, folder / "weights.safetensors"),
}


@pytest.mark.parametrize("breakage", BREAKAGES)
def test_a_broken_or_foreign_model_is_refused(folder: Path, breakage: str):
    BREAKAGES[breakage](folder)
    with pytest.raises(ModelError, match="train it"):
        load_reference(folder)
