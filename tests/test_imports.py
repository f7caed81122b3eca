"""What importing loads, tested in processes of their own; pyproject.toml's import contracts see only this package."""

import subprocess
import sys
from pathlib import Path

import pytest

import xas_bluesky

ROOT = Path(xas_bluesky.__file__).parent
MODEL_SIDE = {"models", "prediction", "structures", "theory", "training"}
ANALYSIS = {"candidates", "comparison", "config", "decision", "edges", "errors", "files", "reduction", "spectra"}
LIVE_SIDE = {path.relative_to(ROOT).parts[0].removesuffix(".py") for path in ROOT.rglob("*.py")} - MODEL_SIDE - {"__init__"}
NETWORKS = {"ase", "pyscf", "rdkit", "tblite", "torch", "torch_geometric"}
BEAMLINE = {"bluesky", "bluesky_adaptive", "bluesky_tiled_plugins", "event_model", "ophyd", "tiled"}

LOADED = """
import importlib, sys
for name in sys.argv[1:]:
    importlib.import_module(name)
print(*{name.partition(".")[0] for name in sys.modules})
"""


def modules_of(parts: set[str]) -> list[str]:
    paths = [path.relative_to(ROOT.parent).with_suffix("") for path in sorted(ROOT.rglob("*.py"))]
    return [".".join(path.parts).removesuffix(".__init__") for path in paths if path.parts[1] in parts]


def packages_loaded_by(modules: list[str]) -> set[str]:
    process = subprocess.run([sys.executable, "-c", LOADED, *modules], capture_output=True, text=True, check=True)
    return set(process.stdout.split())


@pytest.mark.parametrize(
    ("parts", "absent"),
    [
        pytest.param(LIVE_SIDE, NETWORKS, id="the live side loads no network and no molecule"),
        pytest.param(ANALYSIS, NETWORKS | BEAMLINE, id="the analysis loads no beamline software either"),
        pytest.param(MODEL_SIDE, BEAMLINE, id="the model side loads no beamline software"),
    ],
)
def test_heavy_packages_stay_out(parts: set[str], absent: set[str]) -> None:
    modules = modules_of(parts)
    loaded = packages_loaded_by(modules)
    assert {name.split(".")[1] for name in modules} == parts
    assert "numpy" in loaded
    assert not loaded & absent
