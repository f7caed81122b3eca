"""The commands: as processes where what they print counts, in this process where only the answer does."""

import json
import re
import subprocess
import sys
from contextlib import nullcontext

import numpy as np
import pytest
from typer.testing import CliRunner

from xas_bluesky.cli import app
from xas_bluesky.demo import DATA
from xas_bluesky.predictor_client import LocalPredictor

SULFONE = DATA / "measured" / "methionine_sulfone.csv"
CANDIDATES = """name,smiles
methionine sulfone,CS(=O)(=O)CC[C@H](N)C(=O)O
methionine,CSCC[C@H](N)C(=O)O
torn,C1CS
ethanol,CCO
methionine sulfoxide,CS(=O)CC[C@H](N)C(=O)O
"""
SERVED = ["methionine sulfone", "methionine", "methionine sulfoxide"]
USED = {"points", "seconds", "photons", "points_conventional", "seconds_conventional", "photons_conventional"}


@pytest.fixture(scope="module")
def listed(tmp_path_factory):
    """Candidates, two of which cannot be predicted."""
    path = tmp_path_factory.mktemp("candidates") / "list.csv"
    path.write_text(CANDIDATES)
    return path


def process(*arguments):
    """Run a command with --json as a process; return the one object it prints, and its stderr."""
    command = [sys.executable, "-m", "xas_bluesky.cli", *map(str, arguments), "--json"]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert ended.returncode == 0, ended.stderr
    assert ended.stdout.count("\n") == 1
    return json.loads(ended.stdout, parse_constant=lambda text: pytest.fail(f"{text} is no JSON")), ended.stderr


def command(*arguments):
    return CliRunner().invoke(app, list(map(str, arguments)))


def refused(*arguments):
    """Run a command that ends with exit code 2 and one sentence, which is returned."""
    result = command(*arguments)
    assert (result.exit_code, result.stdout) == (2, ""), result.output
    (line,) = result.stderr.splitlines()
    assert line.startswith("xas-bluesky: ")
    return line


def said_of_the_others(listed, text):
    assert f"{listed}:4: candidate 'torn': " in text
    assert "not a valid SMILES" in text
    assert f"{listed}:5: candidate 'ethanol': 'CCO' holds no S" in text


def is_an_answer(found):
    assert {"ranking", "groups", "none_of_these"} <= set(found)
    assert all(set(ranked) == {"candidate", "probability", "group", "energy_shift"} for ranked in found["ranking"])
    assert all(set(group) == {"members", "probability"} for group in found["groups"])
    assert sorted(ranked["candidate"] for ranked in found["ranking"]) == sorted(SERVED)
    for ranked in found["ranking"]:
        assert ranked["candidate"] in found["groups"][ranked["group"]]["members"]
    for part in ("ranking", "groups"):
        assert sum(each["probability"] for each in found[part]) + found["none_of_these"] == pytest.approx(1.0)


@pytest.mark.slow
def test_predict_writes_arrays_that_load_without_pickle(listed, tmp_path):
    output = tmp_path / "new" / "out"
    found, stderr = process("predict", listed, "--edge", "S K", "-o", output)
    assert found["output"] == str(output)
    assert found["candidates"] == SERVED
    said_of_the_others(listed, stderr)
    said_of_the_others(listed, "\n".join(found["warnings"]))
    with np.load(output, allow_pickle=False) as arrays:
        assert set(arrays) == {"energy", "mean", "std", "candidate", "ionization", "distance", "supported"}
        points = len(arrays["energy"])
        assert arrays["candidate"].tolist() == SERVED
        assert arrays["mean"].shape == arrays["std"].shape == (3, points)
        assert (np.diff(arrays["energy"]) > 0).all()
        assert 2400 < arrays["energy"][0] < 2472 < arrays["energy"][-1]
        assert (arrays["std"] >= 0).all()
        assert arrays["ionization"].shape == arrays["distance"].shape == arrays["supported"].shape == (3,)
        assert arrays["supported"].dtype == bool
        assert (arrays["distance"] >= 0).all()
        assert ((arrays["energy"][0] < arrays["ionization"]) & (arrays["ionization"] < arrays["energy"][-1])).all()
    assert set(found) == {"output", "candidates", "warnings", "model"}


@pytest.mark.slow
@pytest.mark.usefixtures("one_predictor")
@pytest.mark.parametrize("ending", ["sdf", "xyz"])
def test_predict_takes_positions(tmp_path, ending):
    lines = ["S 0 0 0.10", "H 0 0.96 -0.83", "H 0 -0.96 -0.83"]
    block = ["  3  2  0  0  0  0            999 V2000"]
    block += [f"{float(x):10.4f}{float(y):10.4f}{float(z):10.4f} {element}   0" for element, x, y, z in map(str.split, lines)]
    mol = ["sulfane", "     by hand        3D", "", *block, "  1  2  1  0", "  1  3  1  0", "M  END", "$$$$"]
    listed, output = tmp_path / f"list.{ending}", tmp_path / "out.npz"
    listed.write_text("\n".join([*(mol if ending == "sdf" else ["3", "sulfane", *lines]), ""]))
    result = command("predict", listed, "--edge", "S K", "-o", output, "--json")
    assert result.exit_code == 0, result.stderr
    assert json.loads(result.stdout)["candidates"] == ["sulfane"]
    with np.load(output) as arrays:
        assert 2469 < arrays["energy"][arrays["mean"][0].argmax()] < 2476


CUPRITE = """Cu2O
1.0
4.27 0 0
0 4.27 0
0 0 4.27
Cu O
4 2
Direct
0.25 0.25 0.25
0.75 0.75 0.25
0.75 0.25 0.75
0.25 0.75 0.75
0 0 0
0.5 0.5 0.5
"""


@pytest.mark.slow
@pytest.mark.usefixtures("one_predictor")
def test_predict_takes_crystals(tmp_path):
    listed, output = tmp_path / "cuprite.vasp", tmp_path / "out.npz"
    listed.write_text(CUPRITE)
    result = command("predict", listed, "--edge", "Cu K", "-o", output, "--json")
    assert result.exit_code == 0, result.stderr
    assert json.loads(result.stdout)["candidates"] == ["cuprite"]
    with np.load(output) as arrays:
        assert 8980 < arrays["energy"][arrays["mean"][0].argmax()] < 9020


@pytest.mark.slow
@pytest.mark.usefixtures("one_predictor")
def test_predict_averages_over_conformers(tmp_path):
    listed = tmp_path / "one.smi"
    listed.write_text("CCCCS butanethiol\n")
    means = []
    for count in (1, 4):
        output = tmp_path / f"{count}.npz"
        result = command("predict", listed, "--edge", "S K", "-o", output, "--conformers", count)
        assert result.exit_code == 0, result.stderr
        with np.load(output) as arrays:
            means.append(arrays["mean"])
    assert means[0].shape == means[1].shape
    assert not np.allclose(*means, rtol=1e-6)


@pytest.mark.slow
def test_a_device_that_cannot_be_used_is_said(listed, tmp_path):
    line = refused("predict", listed, "--edge", "S K", "-o", tmp_path / "out.npz", "--device", "cuda:99")
    assert line.startswith("xas-bluesky: device 'cuda:99': ")
    assert "; give auto or cpu, or the number of" in line
    assert not (tmp_path / "out.npz").exists()


def test_less_than_one_conformer_is_refused(listed, tmp_path):
    result = command("predict", listed, "--edge", "S K", "-o", tmp_path / "out.npz", "--conformers", "0")
    assert (result.exit_code, result.stdout) == (2, "")
    assert "--conformers" in result.stderr


def test_crystals_cannot_be_computed(tmp_path):
    pytest.importorskip("pyscf")
    listed = tmp_path / "cuprite.poscar"
    listed.write_text(CUPRITE)
    result = command("compute", listed, "--edge", "O K", "--workers", "1", "-o", tmp_path / "out.parquet")
    assert result.exit_code == 2
    assert "cuprite: a POSCAR holds a crystal, not a molecule; give SMILES, a mol block or an xyz block" in result.stderr


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--edge", "S K", "--edge", "Cu K"], "edge 'Cu K': there are no constants for it; what can be computed is"),
        (["--edge", "sulfur"], "edge 'sulfur': expected an element and a level"),
        (["--edge", "S K", "--ray", "127.0.0.1:9"], "Ray cluster '127.0.0.1:9': no connection"),
        (["--edge", "S K", "--workers", "0"], "0 workers: expected at least one"),
    ],
)
def test_what_cannot_be_computed_is_said(listed, tmp_path, arguments, said):
    pytest.importorskip("ray")
    pytest.importorskip("pyscf")
    assert said in refused("compute", listed, *arguments, "-o", tmp_path / "out.parquet", "--json")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_identify_ranks_the_candidates(listed):
    found, stderr = process("identify", SULFONE, "--candidates", listed, "--edge", "S K")
    assert set(found) == {"ranking", "groups", "none_of_these", "warnings"}
    is_an_answer(found)
    assert found["ranking"][0]["candidate"] == "methionine sulfone"
    said_of_the_others(listed, stderr)


@pytest.fixture(scope="module")
def predictor():
    with LocalPredictor() as started:
        yield started


@pytest.fixture
def one_predictor(monkeypatch, predictor):
    """Let the commands of this process share one predictor, as its start takes seconds."""
    for module in ("predictor_client", "demo"):
        monkeypatch.setattr(f"xas_bluesky.{module}.LocalPredictor", lambda *_: nullcontext(predictor))


@pytest.mark.slow
@pytest.mark.usefixtures("one_predictor")
def test_identify_weighs_mixtures_and_fits_references_where_asked(listed):
    measured = SULFONE.parent
    asked = ["identify", SULFONE, "--candidates", listed, "--edge", "S K", "--mixtures", "--references", measured]
    result = command(*asked, "--json")
    assert result.exit_code == 0, result.stderr
    found = json.loads(result.stdout)
    assert set(found) == {"ranking", "groups", "none_of_these", "warnings", "mixtures", "fingerprint"}
    is_an_answer(found)
    pairs = {frozenset((mixture["first"], mixture["second"])) for mixture in found["mixtures"]}
    assert len(pairs) == len(found["mixtures"]) == 3
    assert all(0.5 <= mixture["fraction"] <= 1 and mixture["fraction_sd"] > 0 for mixture in found["mixtures"])
    assert sum(mixture["probability"] for mixture in found["mixtures"]) < 0.5
    others = {path.name for path in measured.glob("*.csv")} - {SULFONE.name}
    assert {name for fit in found["fingerprint"] for name in fit["references"]} == others
    assert all(len(fit["references"]) == len(fit["weights"]) == len(fit["errors"]) for fit in found["fingerprint"])
    assert found["fingerprint"][0]["r_factor"] > 0.1, "no other compound here is a sulfone"

    shown = command(*asked).stdout
    for said in ("none of these", "mixtures of two", "fits by measured references", "R-factor"):
        assert said in shown


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("nowhere.csv", None, "nowhere.csv: cannot be read (No such file or directory)"),
        ("folder", None, "no reference here; give a spectrum, or a folder of files"),
        (
            "nickel.csv",
            [f"{8233 + n},{n > 100:d}.{n % 3}" for n in range(200)],
            "nickel.csv: its edge at 8333.0 eV is not the S K edge",
        ),
    ],
)
def test_references_that_cannot_be_used_are_named(listed, tmp_path, name, content, said):
    place = tmp_path / name
    if name == "folder":
        place.mkdir()
    if content is not None:
        place.write_text("\n".join(["energy_eV,mu_raw", *content, ""]))
    line = refused("identify", SULFONE, "--candidates", listed, "--edge", "S K", "--references", place)
    assert f"{tmp_path}/{name.split('.')[0]}" in line
    assert said in line


@pytest.mark.slow
@pytest.mark.usefixtures("one_predictor")
def test_a_reference_that_does_not_cover_the_range_is_named(listed, tmp_path):
    short = tmp_path / "short.csv"
    lines = (SULFONE.parent / "cysteine.csv").read_text().splitlines()
    short.write_text("\n".join(line for line in lines if line.startswith("#") or float(line.split(",")[0]) < 2500))
    line = refused("identify", SULFONE, "--candidates", listed, "--edge", "S K", "--references", short)
    assert f"{SULFONE}: reference short.csv: it covers 2440.0 to 2500.0 eV, the fit needs 2458.0 to" in line


@pytest.fixture(scope="module")
def simulated(listed, catalog):
    """The adaptive run of a process of its own, into the catalog that this process serves."""
    arguments = ("simulate", SULFONE, "--candidates", listed, "--edge", "S K", "--catalog", catalog.where, "--seed", "3")
    return process(*arguments)


@pytest.mark.slow
def test_simulate_answers_and_says_what_it_used(simulated, listed, catalog):
    found, stderr = simulated
    ended = {"stop_reason", "exit_status", "flags", "revisits", "dose", "dose_conventional"}
    assert set(found) == {"ranking", "groups", "none_of_these", *ended, *USED, "raw_uid", "record", "warnings"}
    is_an_answer(found)
    assert found["ranking"][0]["candidate"] == "methionine sulfone"
    assert 0 < found["points"] < found["points_conventional"] == 226
    assert 0 < found["seconds"] < found["seconds_conventional"]
    assert 0 < found["photons"] < found["photons_conventional"]
    said_of_the_others(listed, stderr)
    assert catalog.runs[found["raw_uid"]]["primary"].read().sizes["time"] == found["points"]
    record = catalog.load(found["record"])
    assert (record.raw_uid, record.seed, record.sample) == (found["raw_uid"], 3, "methionine_sulfone")


@pytest.mark.slow
def test_results_are_what_the_catalog_holds(simulated, catalog):
    found, _ = process("results", "--catalog", catalog.where)
    (record,) = found["results"]
    assert {name: record[name] for name in ("ranking", "groups", "none_of_these", *USED, "raw_uid", "record")} == {
        name: simulated[0][name] for name in ("ranking", "groups", "none_of_these", *USED, "raw_uid", "record")
    }
    shown = command("results", "--catalog", catalog.where)
    assert shown.exit_code == 0
    assert record["raw_uid"][:8] in shown.stdout
    assert record["record"][:8] in shown.stdout


@pytest.mark.slow
@pytest.mark.parametrize(
    ("conditions", "count"),
    [
        (["--sample", "methionine_sulfone"], 1),
        (["--sample", "other"], 0),
        (["--candidate", "methionine sulfoxide"], 1),
        (["--candidate", "taurine"], 0),
        (["--candidate", "methionine sulfone", "--min-probability", "0.5"], 1),
        (["--candidate", "methionine sulfoxide", "--min-probability", "0.5"], 0),
        (["--min-probability", "0.5", "--edge", "S_K"], 1),
        (["--edge", "Cu K"], 0),
    ],
)
def test_results_are_filtered(simulated, catalog, conditions, count):  # noqa: ARG001
    result = command("results", "--catalog", catalog.where, *conditions, "--json")
    assert result.exit_code == 0, result.stderr
    assert len(json.loads(result.stdout)["results"]) == count


@pytest.mark.slow
@pytest.mark.usefixtures("one_predictor")
def test_the_demonstration_ends_with_a_picture(catalog, tmp_path):
    picture = tmp_path / "new" / "demo.png"
    result = command("demo", "--catalog", catalog.where, "-o", picture, "--json")
    assert result.exit_code == 0, result.output
    found = json.loads(result.stdout)
    assert found["picture"] == str(picture)
    assert picture.read_bytes().startswith(b"\x89PNG")
    assert any("sulfone" in member for member in found["groups"][0]["members"])
    assert found["raw_uid"] in result.stderr
    assert f"xas-bluesky results --catalog {catalog.where} --json" in result.stderr.replace("\n", "")
    assert found["points"] < found["points_conventional"]


SPECTRUM = [f"{energy},{mu}" for energy, mu in zip(np.arange(2440.0, 2540.0, 2.0), np.linspace(0.0, 1.0, 50), strict=True)]


def spectrum_file(folder, lines):
    path = folder / "spectrum.csv"
    path.write_text("\n".join(["energy_eV,mu_raw", *lines, ""]))
    return path


@pytest.mark.parametrize("verb", ["identify", "simulate"])
@pytest.mark.parametrize(
    ("lines", "said"),
    [
        ([*SPECTRUM[:9], "2458.0,nan", *SPECTRUM[10:]], r"csv:11: 'nan' in column 'mu_raw' is no finite number; correct"),
        (
            [*SPECTRUM[:9], SPECTRUM[12], *SPECTRUM[9:]],
            r"csv:12: the energy 2458 eV turns back from line 11 .*; sort the file",
        ),
        ([*SPECTRUM[:9], *SPECTRUM[8:]], r"csv:11: the energy 2456 eV repeats that of line 10 .* merge repeated points"),
        (SPECTRUM[:6], r"csv: 6 points, at least 10 are needed; measure more"),
    ],
)
def test_a_spectrum_that_cannot_be_used_is_named(listed, tmp_path, verb, lines, said):
    path = spectrum_file(tmp_path, lines)
    assert re.search(said, refused(verb, path, "--candidates", listed, "--edge", "S K", "--json"))


@pytest.mark.slow
@pytest.mark.usefixtures("one_predictor")
@pytest.mark.parametrize(("verb", "said"), [("identify", "the edge step is not known"), ("simulate", "without the S K edge")])
def test_a_spectrum_of_another_range_is_named(tmp_path, catalog, verb, said):
    path = spectrum_file(tmp_path, [f"{8333 + 3 * n},{n}" for n in range(30)])
    one = tmp_path / "one.smi"
    one.write_text("CSC dimethyl sulfide\n")
    place = ["--catalog", catalog.where] if verb == "simulate" else []
    line = refused(verb, path, "--candidates", one, "--edge", "S K", *place)
    assert line.startswith(f"xas-bluesky: {path}: ")
    assert said in line


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("structure,label\nCS,a\n", r"bad\.csv:1: the header reads structure, label; it needs the columns name and smiles"),
        ("name,smiles\na,CS\na,CSC\n", r"bad\.csv:3: the name 'a' is taken already"),
        ("name,smiles\n", r"bad\.csv: the file names no candidate"),
        (None, r"bad\.csv: cannot be read \(No such file or directory\); check the path"),
    ],
)
def test_a_list_of_candidates_that_cannot_be_used_is_named(tmp_path, content, said):
    path = tmp_path / "bad.csv"
    if content is not None:
        path.write_text(content)
    for verb in (["identify", SULFONE, "--candidates", path], ["predict", path, "-o", tmp_path / "out.npz"]):
        assert re.search(said, refused(*verb, "--edge", "S K", "--json"))
    assert not (tmp_path / "out.npz").exists()


@pytest.mark.slow
@pytest.mark.usefixtures("one_predictor")
def test_a_list_without_any_usable_candidate_is_named_line_by_line(tmp_path):
    path = tmp_path / "bad.smi"
    path.write_text("C1CS torn\nCCO ethanol\n")
    line = refused("predict", path, "--edge", "S K", "-o", tmp_path / "out.npz", "--json")
    assert re.search(r"bad\.smi:1: candidate 'torn': .*not a valid SMILES.*; .*bad\.smi:2: candidate 'ethanol': .* no S", line)
    assert not (tmp_path / "out.npz").exists()


@pytest.mark.slow
@pytest.mark.usefixtures("one_predictor")
def test_an_edge_that_no_model_covers_is_said_with_those_that_are(listed, tmp_path):
    line = refused("predict", listed, "--edge", "Fe K", "-o", tmp_path / "out.npz")
    assert line.startswith("xas-bluesky: edge 'Fe K': no model covers it; the model covers ")
    assert "'S K'" in line


def test_an_edge_that_is_none_is_said(listed):
    line = refused("identify", SULFONE, "--candidates", listed, "--edge", "Xx K")
    assert "edge 'Xx K': xraydb knows no such edge; give an element and a level" in line


def test_a_file_that_is_not_there_is_said(tmp_path, listed):
    line = refused("identify", tmp_path / "nowhere.xdi", "--candidates", listed, "--edge", "S K")
    assert "nowhere.xdi: cannot be read (No such file or directory); check the path" in line


@pytest.mark.parametrize(
    ("place", "said"),
    [
        ("http://127.0.0.1:9", "catalog http://127.0.0.1:9: nothing answers there"),
        ("ftp://host", "expected a folder, or a URL"),
        ("nowhere", "catalog nowhere: there is no such folder; give the one a run was written to"),
    ],
)
def test_a_catalog_that_cannot_be_reached_is_said(tmp_path, monkeypatch, place, said):
    monkeypatch.chdir(tmp_path)
    assert said in refused("results", "--catalog", place, "--json")


def test_a_run_that_could_not_be_kept_is_not_started(listed):
    line = refused("simulate", SULFONE, "--candidates", listed, "--edge", "S K", "--catalog", "http://127.0.0.1:9")
    assert "nothing answers there" in line


def test_a_probability_that_is_none_is_said(catalog):
    assert "expected a number from 0 to 1" in refused("results", "--catalog", catalog.where, "--min-probability", "2")


@pytest.mark.slow
@pytest.mark.usefixtures("one_predictor")
def test_an_output_that_cannot_be_written_is_said(tmp_path):
    one = tmp_path / "one.smi"
    one.write_text("CSC dimethyl sulfide\n")
    line = refused("predict", one, "--edge", "S K", "-o", tmp_path)
    assert line == f"xas-bluesky: {tmp_path}: cannot be written (Is a directory); name another output"


def test_an_error_of_a_process_is_one_sentence_on_stderr_and_exit_code_2(tmp_path, listed):
    path = spectrum_file(tmp_path, SPECTRUM[:6])
    arguments = [sys.executable, "-m", "xas_bluesky.cli", "identify", str(path), "--candidates", str(listed), "--edge", "S K"]
    ended = subprocess.run([*arguments, "--json"], capture_output=True, text=True, timeout=60)
    assert (ended.returncode, ended.stdout) == (2, "")
    assert ended.stderr == f"xas-bluesky: {path}: 6 points, at least 10 are needed; measure more\n"


def test_the_help_lists_every_command_without_loading_the_heavy_parts():
    check = (
        "import sys, xas_bluesky.cli; print({'torch', 'rdkit', 'bluesky', 'tiled', 'scipy', 'matplotlib'} & set(sys.modules))"
    )
    assert subprocess.run([sys.executable, "-c", check], capture_output=True, text=True, check=True).stdout == "set()\n"
    shown = command("--help").stdout
    assert all(verb in shown for verb in ("predict", "identify", "simulate", "results", "demo", "compute", "train"))
