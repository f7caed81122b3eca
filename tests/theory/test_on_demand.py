import json
import subprocess
import sys

import numpy as np
import pytest

from xas_bluesky.candidates import Candidate
from xas_bluesky.edges import find_edge
from xas_bluesky.models import Scaling
from xas_bluesky.structures import read_molecule, split
from xas_bluesky.theory import ComputedMolecule, Result, write_dataset
from xas_bluesky.theory.calculation import compute
from xas_bluesky.theory.on_demand import HEIGHT, SHIFT, answer, compute_spectrum, spectrum_of
from xas_bluesky.training.examples import ENERGY, load_examples
from xas_bluesky.training.populations import computed_spectra
from xas_bluesky.wire import array_to_wire, spectra_from_wire

ENERGIES = np.round(np.arange(520.0, 551.0, 0.2), 1)
ACETIC_ACID = "CC(=O)O"  # two absorbers
assert split(ACETIC_ACID) != "blind"


@pytest.fixture(scope="module")
def acetic_acid() -> ComputedMolecule:
    return compute(read_molecule(Candidate("a", ACETIC_ACID), "O"), ("O",))


def request(structure: str, edge: str = "O K", form: str = "smiles", energy: np.ndarray = ENERGIES) -> str:
    return json.dumps({"structure": structure, "format": form, "edge": edge, "energy": array_to_wire(energy)})


def test_the_spectrum_is_the_one_that_the_networks_would_be_trained_on(tmp_path, acetic_acid):
    write_dataset(tmp_path / "one.parquet", [Result("a", acetic_acid.smiles, acetic_acid, None)], {})
    examples = load_examples([tmp_path / "one.parquet"])
    scaling = Scaling(ENERGY["O K"], np.zeros(len(ENERGY["O K"])), 1.0, 540.0, 1.0)
    expected = computed_spectra(examples, "O K", scaling, ENERGIES)
    found = spectrum_of("a", acetic_acid.sites, find_edge("O K"), ENERGIES)
    assert len(acetic_acid.sites) == 2
    assert expected.max() > 3
    np.testing.assert_allclose(found.mean, expected, atol=0.02)  # a data set rounds its strengths
    assert found.ionization == pytest.approx([examples[0].targets["O K"].ionization.mean()], abs=1e-3)


def test_its_error_is_small_and_that_of_energies_and_heights(acetic_acid):
    found = spectrum_of("a", acetic_acid.sites, find_edge("O K"), ENERGIES)
    assert np.allclose(found.std, np.sqrt((found.factors**2).sum(axis=1)))
    steepest = np.abs(np.gradient(found.mean[0], ENERGIES))
    np.testing.assert_allclose(found.std[0], np.hypot(HEIGHT * found.mean[0], SHIFT * steepest))
    covariance = found.factors[0].T @ found.factors[0]
    first, second = (np.abs(ENERGIES - at).argmin() for at in (533.0, 541.0))  # far apart: hardly together
    assert abs(covariance[first, second]) < 0.3 * found.std[0, first] * found.std[0, second]
    assert found.supported.all()
    assert found.source == ("theory",)


def test_a_request_is_answered_with_the_spectrum():
    found = spectra_from_wire(json.loads(json.dumps(answer(request("C=O")))))
    expected = compute_spectrum(Candidate("b", "C=O"), "O K", ENERGIES)
    assert split("C=O") != "blind"
    np.testing.assert_allclose(found.mean, expected.mean, atol=1e-6)
    assert ENERGIES[found.mean[0].argmax()] == pytest.approx(530.8, abs=0.6)  # measured in the gas phase


@pytest.mark.parametrize(
    ("line", "says"),
    [
        (request("C[O-]"), "its charge is -1; only neutral molecules can be computed"),
        (request("CO[CH2]"), "it has unpaired electrons"),
        (request("CC"), "'CC' holds no O"),
        (request("Cu2O", form="cif"), "a CIF holds a crystal"),
        (request("CO", "Cu K"), "edge 'Cu K': there are no constants for it"),
        (request("CP", "P K"), "edge 'P K': no spectra are made for it"),
        (request("C" * 40 + "O"), "basis functions are too many"),
    ],
)
def test_what_cannot_be_computed_is_answered_with_why(line: str, says: str):
    assert says in str(answer(line)["error"])


@pytest.mark.slow
def test_the_process_ends_when_its_stdin_closes_and_loads_no_torch():
    code = "import sys, xas_bluesky.theory.on_demand as o; o.main(); print('torch' in sys.modules)"
    ended = subprocess.run([sys.executable, "-c", code], input=b"", capture_output=True, timeout=60)
    assert (ended.returncode, ended.stdout) == (0, b"False\n")
