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
NAMES = ["RE", "catalog", "devices", "energy", "dwell", "scaler", "shutter", "ring_current", "stage", "session", "live"]
PLANS = ["xas", "change_edge", "agent_xas", "agent_xas_samples"]

LOAD = """
import json, sys
from pathlib import Path
from IPython.core.completer import provisionalcompleter
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
for cell in (
    "RE(change_edge('S K'))",
    "RE(xas(bounds='-5 5', steps='1', times='0.1', sample='typed'))",
    f"outcome = RE(agent_xas({sys.argv[2]!r}, edge='S K', sample='mine', budget=Budget(points=20)))",
    f"RE(agent_xas(sample='words', candidates={sys.argv[2]!r}, points=20))",
    "RE.md['proposal'] = 7",
):
    shell.run_cell(cell).raise_error()
shell.run_cell("xas?")
typed = ("change_e", "session.before_s", "xas(bou", 'change_edge("Cu l')
with provisionalcompleter():
    completed = [[found.text for found in shell.Completer.completions(text, len(text))] for text in typed]
print("COMPLETED", json.dumps(completed))
shell.run_cell("RE(xas('S K', steps='2 tne 1'))")
shell.run_cell("RE(xas('Cu K'))")
"""


@pytest.mark.slow
def test_the_startup_files_give_the_beamline_and_the_agent(tmp_path):
    candidates = tmp_path / "list.smi"
    candidates.write_text("CS(=O)(=O)C sulfone\nCCS thiol\n")
    folder = tmp_path / "catalog"
    ended = subprocess.run(
        [sys.executable, "-c", LOAD, str(STARTUP), str(candidates), json.dumps([*NAMES, *PLANS])],
        env={**os.environ, "XAS_BLUESKY_CATALOG": str(folder), "IPYTHONDIR": str(tmp_path / "ipython")},
        capture_output=True,
        text=True,
        timeout=300,  # a busy computer
        cwd=tmp_path,
    )
    assert ended.returncode == 0, ended.stderr
    first, _, shown = ended.stdout.partition("\n")
    assert json.loads(first) == {"drawing": False, "names": [*NAMES, *PLANS], "heavy": []}
    assert "sulfone" in shown
    assert "Example: RE(xas(" in shown
    assert "Å⁻¹ with the suffix k" in shown
    assert "Traceback" not in ended.stdout + ended.stderr
    assert (folder / "catalog.db").exists()
    assert not list((folder / "backup").glob("*"))
    assert json.loads((tmp_path / "metadata.json").read_text())["proposal"] == 7
    completed = json.loads(shown.rpartition("COMPLETED ")[2].splitlines()[0])
    assert completed == [["change_edge"], ["before_sample"], ["bounds="], ["L1", "L2", "L3"]]
    assert "SettingsError: scan regions: steps '2 tne 1' must be numbers; 'tne' is none" in ended.stderr
    assert "to 9024.0 eV, lies outside 2000 to 3000 eV" in ended.stderr
    (xdi,) = (tmp_path / "xdi").glob("mine_S_K_*.xdi")
    points = len(read_spectrum(xdi))
    with open_catalog(folder) as kept:
        (run,) = (run for run in kept.runs.values() if run.start["sample_name"] == "mine")
        assert [found["sample"] for found in kept.search()] == ["words", "mine"]
        scan = kept.load_reduced(run.start["uid"])
    assert len(scan.spectrum) == points > 10
    assert scan.absorption.noise == "photons"
