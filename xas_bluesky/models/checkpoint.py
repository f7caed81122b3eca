"""Model weights on disk: arrays as safetensors, all else as JSON; loading runs no code from them."""

import hashlib
import json
import textwrap
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
import torch
from pydantic import TypeAdapter
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from xas_bluesky.errors import ModelError
from xas_bluesky.models.ensemble import EdgeModel, Ensemble, Population
from xas_bluesky.models.error_model import SIGNALS, ErrorModel
from xas_bluesky.models.scaling import Scaling
from xas_bluesky.models.spectrum_gnn import NetworkSettings, SpectrumGNN

FORMAT = "xas_bluesky ensemble 2"
PARTS = {"scaling": Scaling, "errors": ErrorModel, "population": Population}
"""What an edge's arrays and numbers belong to."""


@dataclass(frozen=True, slots=True)
class EdgeCard:
    """Say what a model knows of one edge.

    `lorentzian`, `gaussian`: broadening in the spectra, full widths at half maximum, eV; `elements`: atomic numbers in the
    training set; `structures` and `sites` in it; `kinds`: for each kind of its spectra, the structure in the middle of it.
    """

    lorentzian: float
    gaussian: float
    elements: list[int]
    structures: int
    sites: int
    kinds: list[str]


@dataclass(frozen=True, slots=True)
class ModelCard:
    """Say what a model is: its networks, its edges, what it was trained on (file: hash), by which command, and its figures."""

    settings: NetworkSettings
    networks: int
    edges: dict[str, EdgeCard]
    data: dict[str, str]
    command: str
    figures: dict[str, dict[str, float]]


def save(folder: Path, ensemble: Ensemble, card: ModelCard) -> None:
    """Write `weights.safetensors` and `model.json` into a folder, made if missing."""
    folder.mkdir(parents=True, exist_ok=True)
    tensors: dict[str, Tensor] = {}
    for index, network in enumerate(ensemble.networks):
        tensors |= {f"{index}.{name}": value.contiguous() for name, value in network.state_dict().items()}
    for edge, model in ensemble.edges.items():
        for part, kind in PARTS.items():
            values = {field.name: np.asarray(getattr(getattr(model, part), field.name)) for field in fields(kind)}
            tensors |= {f"{edge}.{part}.{name}": torch.from_numpy(value.copy()) for name, value in values.items()}
    weights = folder / "weights.safetensors"
    save_file(tensors, weights)
    weights.chmod(0o644)
    described = {"format": FORMAT, **asdict(card), "settings": card.settings.model_dump()}
    (folder / "model.json").write_text(json.dumps(described, indent=1, sort_keys=True) + "\n")


def load(folder: Path) -> tuple[Ensemble, ModelCard]:
    """Read a model that `save` wrote.

    Raises ModelError when files are missing or broken, or are not this package's.
    """
    try:
        described = json.loads((folder / "model.json").read_text())
        if not isinstance(described, dict) or described.pop("format", None) != FORMAT:
            raise ModelError(f"{folder / 'model.json'}: not a model of the format {FORMAT!r}; train it again")
        card = TypeAdapter(ModelCard).validate_python(described)
        tensors = load_file(folder / "weights.safetensors")
        networks = tuple(_network(card.settings, tensors, index) for index in range(card.networks))
        edges = {edge: EdgeModel(*(_part(tensors, edge, part) for part in PARTS)) for edge in card.edges}
        _check(card, edges)
    except (OSError, ValueError, KeyError, TypeError, RuntimeError, SafetensorError) as error:
        reason = textwrap.shorten(str(error), 200)
        raise ModelError(f"{folder}: the model cannot be read ({reason}); install the package again or train it") from error
    return Ensemble(networks, edges), card


def _part(tensors: dict[str, Tensor], edge: str, part: str) -> Any:
    kind = PARTS[part]
    values = {field.name: tensors[f"{edge}.{part}.{field.name}"].numpy() for field in fields(kind)}
    if broken := [name for name, value in values.items() if not np.isfinite(value).all()]:
        raise ValueError(f"{broken[0]} of {edge} is not finite")
    arguments: dict[str, Any] = {name: value if value.ndim else float(value) for name, value in values.items()}
    return kind(**arguments)


def _check(card: ModelCard, edges: dict[str, EdgeModel]) -> None:
    if card.networks < 2 or not edges:
        raise ValueError(f"{card.networks} networks and {len(edges)} edges, expected at least 2 and 1")
    if set(card.settings.points) != set(edges):
        raise ValueError(f"heads for {', '.join(card.settings.points)}, but {', '.join(edges)} are described")
    for edge, model in edges.items():
        points, grid, kinds = card.settings.points[edge], len(model.population.energy), len(card.edges[edge].kinds)
        space = model.errors.projection.shape[1]
        expected: dict[str, tuple[object, tuple[int, ...]]] = {
            "energy": (model.scaling.energy, (points,)),
            "center": (model.scaling.center, (points,)),
            "projection": (model.errors.projection, (card.settings.trunk, space)),
            "known": (model.errors.known, (-1, space)),
            "size": (model.errors.size, (SIGNALS,)),
            "residual": (model.errors.residual, (-1, points)),
            "rest": (model.errors.rest, (points,)),
            "mean": (model.population.mean, (kinds, grid)),
            "factors": (model.population.factors, (kinds, -1, grid)),
            "ionization": (model.population.ionization, (kinds,)),
        }
        for name, (array, shape) in expected.items():
            found = np.shape(array)  # type: ignore[arg-type]
            if len(found) != len(shape) or any(size not in (length, -1) for length, size in zip(found, shape, strict=True)):
                raise ValueError(f"{name} of {edge} has the shape {found}, expected {shape}")


def _network(settings: NetworkSettings, tensors: dict[str, Tensor], index: int) -> SpectrumGNN:
    network = SpectrumGNN(settings)
    prefix = f"{index}."
    network.load_state_dict({key.removeprefix(prefix): value for key, value in tensors.items() if key.startswith(prefix)})
    return network.eval()


def hash_files(folder: Path) -> str:
    """Return the first 16 hexadecimal digits of the SHA-256 of a model's two files."""
    digest = hashlib.sha256()
    for name in ("model.json", "weights.safetensors"):
        digest.update((folder / name).read_bytes())
    return digest.hexdigest()[:16]
