"""The reference model: the published kind of network, one for each edge, and its weights on disk."""

import json
import textwrap
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from pydantic import TypeAdapter
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor
from torch_geometric.data import Batch

from xas_bluesky.errors import EdgeError, ModelError
from xas_bluesky.models.message_passing import MessagePassing, MessagePassingSettings
from xas_bluesky.spectra import Array

FORMAT = "xas_bluesky reference 1"


@dataclass(frozen=True, slots=True)
class ReferenceEdge:
    """Hold the network of one edge and what makes spectra with errors of its outputs.

    `energy` (p,) eV; a molecule's spectrum (atomic edge jumps) is `center` (p,) + `scale` · output. All molecules have the
    same errors: factors `residual` (r, p) of the covariance along energy and, independent at each energy, `rest` (p,).
    """

    network: MessagePassing
    energy: Array
    center: Array
    scale: float
    residual: Array
    rest: Array


@dataclass(frozen=True, slots=True)
class ReferenceModel:
    """Predict molecules from their bonds alone, as the published networks do; see MessagePassing."""

    edges: dict[str, ReferenceEdge]

    def to(self, device: torch.device) -> "ReferenceModel":
        """Move the networks to a device; returns the model."""
        for model in self.edges.values():
            model.network.to(device)
        return self

    def predict(self, batch: Batch, edge: str) -> tuple[Array, Array, Array]:
        """Return the spectra (n, p) of joined `bond_graph`s, their errors' factors (n, r, p), and the rest (n, p).

        Energies are those of the edge. The graphs' molecules must hold the absorber, which is not checked here. Raises
        EdgeError for an edge that the model does not cover.
        """
        if edge not in self.edges:
            raise EdgeError(f"edge {edge!r}: no reference network covers it; they cover {', '.join(map(repr, self.edges))}")
        model = self.edges[edge]
        with torch.inference_mode():
            outputs = model.network(batch).double().cpu().numpy()
        mean = model.center + model.scale * outputs
        residual = np.broadcast_to(model.residual, (len(mean), *model.residual.shape))
        return mean, residual, np.broadcast_to(model.rest, mean.shape)


@dataclass(frozen=True, slots=True)
class _Described:
    """Say what the JSON file says of one edge."""

    settings: MessagePassingSettings
    scale: float


ARRAYS = ("energy", "center", "residual", "rest")


def save_reference(folder: Path, model: ReferenceModel) -> None:
    """Write `weights.safetensors` and `model.json` into a folder, made if missing."""
    folder.mkdir(parents=True, exist_ok=True)
    tensors: dict[str, Tensor] = {}
    described: dict[str, Any] = {}
    for edge, found in model.edges.items():
        tensors |= {f"{edge}.network.{name}": value.cpu().contiguous() for name, value in found.network.state_dict().items()}
        tensors |= {f"{edge}.{name}": torch.from_numpy(getattr(found, name).copy()) for name in ARRAYS}
        described[edge] = _Described(found.network.settings, found.scale)
    weights = folder / "weights.safetensors"
    save_file(tensors, weights)
    weights.chmod(0o644)
    edges = TypeAdapter(dict[str, _Described]).dump_python(described)
    (folder / "model.json").write_text(json.dumps({"format": FORMAT, "edges": edges}, indent=1, sort_keys=True) + "\n")


def load_reference(folder: Path) -> ReferenceModel:
    """Read a model that `save_reference` wrote.

    Raises ModelError when files are missing or broken, or are not this package's.
    """
    try:
        described = json.loads((folder / "model.json").read_text())
        if not isinstance(described, dict) or described.get("format") != FORMAT:
            raise ModelError(f"{folder / 'model.json'}: not a model of the format {FORMAT!r}; train it again")
        edges = TypeAdapter(dict[str, _Described]).validate_python(described["edges"])
        tensors = load_file(folder / "weights.safetensors")
        if not edges:
            raise ValueError("it covers no edge")
        return ReferenceModel({edge: _edge(tensors, edge, found) for edge, found in edges.items()})
    except (OSError, ValueError, KeyError, TypeError, RuntimeError, SafetensorError) as error:
        reason = textwrap.shorten(str(error), 200)
        raise ModelError(f"{folder}: the model cannot be read ({reason}); install the package again or train it") from error


def _edge(tensors: dict[str, Tensor], edge: str, described: _Described) -> ReferenceEdge:
    arrays = {name: tensors[f"{edge}.{name}"].numpy() for name in ARRAYS}
    points = described.settings.points
    for name, array in arrays.items():
        shape = (len(array), points) if name == "residual" else (points,)
        if array.shape != shape:
            raise ValueError(f"{name} of {edge} has the shape {array.shape}, expected {shape}")
        if not np.isfinite(array).all():
            raise ValueError(f"{name} of {edge} is not finite")
    network = MessagePassing(described.settings)
    prefix = f"{edge}.network."
    network.load_state_dict({key.removeprefix(prefix): value for key, value in tensors.items() if key.startswith(prefix)})
    return ReferenceEdge(network.eval(), scale=described.scale, **arrays)
