"""The startup folder, executed the way IPython does, in a process of its own."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from xas_bluesky.files import read_spectrum
from xas_bluesky.results import open_catalog

STARTUP = Path(__file__).parents[1] / "profile_collection" / "startup"
NAMES = ["RE", "energy", "dwell", "scaler", "live", "agent_xas", "agent_xas_samples", "catalog"]

LOAD = """
import json, sys
from pathlib import Path
from IPython.core.interactiveshell import InteractiveShell

shell = InteractiveShell.instance()
for file in sorted(Path(sys.argv[1]).glob("*.py")):
    shell.safe_execfile(file, shell.user_ns, raise_exceptions=True)
names = shell.user_ns
print(json.dumps({
    "drawing": "matplotlib.pyplot" in sys.modules,
    "names": [name for name in json.loads(sys.argv[3]) if name in names],
    "heavy": sorted({"torch", "torch_geometric", "rdkit"} & set(sys.modules)),
}))
shell.run_cell("from xas_bluesky.decision import Budget").raise_error()
scan = f"agent_xas({sys.argv[2]!r}, edge='S K', sample='mine', budget=Budget(points=20))"
shell.run_cell(f"outcome = RE({scan})").raise_error()
names["live"].close()
"""


@pytest.mark.slow
def test_the_startup_files_give_the_beamline_and_the_agent(tmp_path):
    candidates = tmp_path / "list.smi"
    candidates.write_text("CS(=O)(=O)C sulfone\nCCS thiol\n")
    folder = tmp_path / "catalog"
    ended = subprocess.run(
        [sys.executable, "-c", LOAD, str(STARTUP), str(candidates), json.dumps(NAMES)],
        env={**os.environ, "XAS_BLUESKY_CATALOG": str(folder), "IPYTHONDIR": str(tmp_path / "ipython")},
        capture_output=True,
        text=True,
        timeout=300,  # a busy computer
        cwd=tmp_path,
    )
    assert ended.returncode == 0, ended.stderr
    first, _, shown = ended.stdout.partition("\n")
    assert json.loads(first) == {"drawing": False, "names": NAMES, "heavy": []}
    assert "sulfone" in shown
    assert "Traceback" not in ended.stdout + ended.stderr
    assert (folder / "catalog.db").exists()
    assert not list((folder / "backup").glob("*"))
    (xdi,) = (tmp_path / "xdi").glob("mine_S_K_*.xdi")
    points = len(read_spectrum(xdi))
    with open_catalog(folder) as kept:
        (run,) = kept.runs.values()
        scan = kept.load_reduced(run.start["uid"])
    assert len(scan.spectrum) == points > 10
    assert scan.absorption.noise == "photons"
