"""What holds across all modules: nothing that arrives is run, servers listen on the loopback, names do not lead elsewhere."""

import ast
import os
import pickle
import stat
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import xas_bluesky
from xas_bluesky.candidates import Candidate
from xas_bluesky.errors import XASError
from xas_bluesky.files import read_candidates, read_spectrum, save_xdi
from xas_bluesky.models.checkpoint import load
from xas_bluesky.reduction import reduce_scan
from xas_bluesky.results import open_catalog
from xas_bluesky.results.record_file import from_text
from xas_bluesky.spectra import Spectrum
from xas_bluesky.theory import read_dataset

PACKAGE = Path(xas_bluesky.__file__).parent
RUNS_CODE = {"eval", "exec", "compile", "__import__", "system", "popen"}
UNPICKLES = {"pickle", "cPickle", "dill", "cloudpickle", "shelve", "marshal", "yaml"}


class Trap:
    """Leaves a mark where it is unpickled."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self):
        return os.mkdir, (str(self.mark),)


@pytest.fixture
def trap(tmp_path):
    mark = tmp_path / "it ran"
    payload = pickle.dumps(Trap(mark))
    yield payload
    assert not mark.exists()
    subprocess.run([sys.executable, "-c", "import pickle, sys; pickle.load(sys.stdin.buffer)"], input=payload, check=True)
    assert mark.exists(), "the trap would have worked"


@pytest.mark.parametrize("path", sorted(PACKAGE.rglob("*.py")), ids=lambda path: str(path.relative_to(PACKAGE)))
def test_no_module_can_run_what_arrives(path):
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import | ast.ImportFrom):
            names = {alias.name.partition(".")[0] for alias in node.names} | {
                (getattr(node, "module", "") or "").partition(".")[0]
            }
            assert not names & UNPICKLES
        if isinstance(node, ast.Call):
            function = node.func
            called = function.id if isinstance(function, ast.Name) else ""
            on = function.value.id if isinstance(function, ast.Attribute) and isinstance(function.value, ast.Name) else ""
            attribute = function.attr if isinstance(function, ast.Attribute) else ""
            assert called not in RUNS_CODE
            assert (on, attribute) not in {("os", "system"), ("os", "popen"), ("torch", "load"), ("joblib", "load")}
            given = {word.arg: word.value for word in node.keywords}
            assert not (isinstance(given.get("shell"), ast.Constant) and given["shell"].value)
            assert not (isinstance(given.get("allow_pickle"), ast.Constant) and given["allow_pickle"].value)


@pytest.mark.parametrize(
    ("name", "read"),
    [
        ("list.smi", read_candidates),
        ("list.csv", read_candidates),
        ("list.sdf", read_candidates),
        ("list.xyz", read_candidates),
        ("list.cif", read_candidates),
        ("POSCAR", read_candidates),
        ("scan.xdi", read_spectrum),
        ("scan.csv", read_spectrum),
        ("set.parquet", read_dataset),
        ("record.json", lambda path: from_text(path.read_text(encoding="latin-1"))),
    ],
)
def test_a_pickle_in_the_place_of_a_file_is_refused_and_does_not_run(tmp_path, trap, name, read):
    (tmp_path / name).write_bytes(trap)
    with pytest.raises(XASError):
        read(tmp_path / name)


def test_a_pickle_in_the_place_of_weights_is_refused_and_does_not_run(tmp_path, trap):
    shipped = PACKAGE / "models" / "weights"
    (tmp_path / "model.json").write_bytes((shipped / "model.json").read_bytes())
    (tmp_path / "weights.safetensors").write_bytes(trap)
    with pytest.raises(XASError):
        load(tmp_path)


@pytest.mark.parametrize(
    "name", ["../../outside", "/etc/outside", "a/../../outside", "..", "nul\0byte", "x" * 500, "C:\\outside"]
)
def test_a_sample_whatever_it_is_called_gets_its_file_in_the_folder(tmp_path, name):
    energy = np.linspace(2440.0, 2530.0, 60)
    step = 1.0 + np.arctan(energy - 2472.0)
    scan = reduce_scan(Spectrum(energy, {"mu": step}, {"sample": name, "edge": "S K", "uid": "0ab9d6a4-1"}))
    folder = tmp_path / "xdi"
    path = save_xdi(folder, scan)
    assert path.resolve().parent == folder.resolve()
    assert sorted(tmp_path.iterdir()) == [folder]


def test_a_list_of_candidates_names_structures_not_files(tmp_path):
    secret = tmp_path / "secret.cif"
    secret.write_text("data_secret\n")
    listed = tmp_path / "list.csv"
    listed.write_text(f"name,smiles\n../../evil,{secret}\n")
    (found,) = read_candidates(listed)
    assert found == Candidate("../../evil", str(secret), found.source)  # text, which is never opened


def listening(port):
    """Addresses on which this machine listens at a port, by TCP or UDP, as /proc/net has them."""
    found = set()
    for protocol, state in (("tcp", "0A"), ("tcp6", "0A"), ("udp", "07"), ("udp6", "07")):
        rows = [line.split() for line in Path(f"/proc/net/{protocol}").read_text().splitlines()[1:]]
        found |= {row[1].partition(":")[0] for row in rows if row[3] == state and int(row[1].partition(":")[2], 16) == port}
    return found


needs_proc = pytest.mark.skipif(not Path("/proc/net/tcp").exists(), reason="sockets are looked up in /proc, as on Linux")


@needs_proc
def test_the_catalogs_server_listens_on_the_loopback_and_its_key_is_the_users_alone(catalog):
    address = Path(catalog.where) / "server.json"
    port = int(address.read_text().partition("127.0.0.1:")[2].partition("/")[0])
    assert listening(port) == {"0100007F"}
    assert stat.S_IMODE(address.stat().st_mode) == 0o600
    with open_catalog(catalog.where) as other:
        assert "api_key" not in other.where


@needs_proc
def test_the_served_beamline_listens_on_the_loopback(ioc):
    assert listening(ioc.port) == {"0100007F"}
