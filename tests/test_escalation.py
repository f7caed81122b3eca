import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator

import numpy as np
import pytest

from xas_bluesky import escalation as module
from xas_bluesky.candidates import Candidate
from xas_bluesky.escalation import LEADING, MOST_CRASHES, Escalation, Refinement, Task
from xas_bluesky.spectra import PredictedSpectra, Prediction
from xas_bluesky.structures import split

pytestmark = pytest.mark.slow  # a process of its own loads PySCF: seconds each

ENERGY = np.round(np.arange(520.0, 551.0, 0.5), 1)
METHANOL, FORMALDEHYDE = Candidate("methanol", "CO"), Candidate("formaldehyde", "C=O")
METHOXIDE = Candidate("methoxide", "C[O-]", "list.csv:4")
STEARYL = Candidate("stearyl alcohol", "CCCCCCCCCCCCCCCCCCO")  # more than a minute
CANDIDATES = [METHANOL, METHOXIDE, FORMALDEHYDE, STEARYL]
PATIENCE = 120.0
assert all(split(candidate.structure) != "blind" for candidate in CANDIDATES)


def prediction() -> Prediction:
    """What a model would say that knows nothing: a step with a wide error."""
    count = len(CANDIDATES)
    mean = np.tile((ENERGY > 538.0).astype(np.float64), (count, 1))
    factors = np.full((count, 20, len(ENERGY)), 0.5)
    spectra = PredictedSpectra(
        edge="O K",
        candidate=tuple(candidate.name for candidate in CANDIDATES),
        energy=ENERGY,
        mean=mean,
        std=np.ones_like(mean),
        factors=factors,
        ionization=np.full(count, 538.0),
        supported=np.zeros(count, dtype=np.bool_),
        distance=np.arange(count, dtype=np.float64),
        model="5f3a",
    )
    return Prediction(spectra, spectra, ("rejected",))


def pid(escalation: Escalation) -> int:
    process = escalation._process  # pyright: ignore[reportPrivateUsage]
    assert process is not None
    return process.pid


def started(escalation: Escalation, *candidates: Candidate) -> Refinement:
    refinement = escalation.of(CANDIDATES)
    assert refinement.refined(prediction()) is None
    refinement.lead([candidate.name for candidate in candidates])
    return refinement


@pytest.fixture(scope="module")
def escalation() -> Iterator[Escalation]:
    with Escalation() as escalation:
        yield escalation


def test_what_leads_is_computed_and_put_into_the_prediction(escalation: Escalation):
    refinement = started(escalation, FORMALDEHYDE, METHOXIDE, METHANOL)
    assert escalation.wait(PATIENCE)
    found = refinement.refined(prediction())
    assert found is not None
    assert found.rejected == ("rejected",)
    spectra = found.spectra
    assert spectra.source == ("theory", "model", "theory", "model")
    assert spectra.supported.tolist() == [True, False, True, False]
    for row, peak in {0: 534.1, 2: 530.8}.items():  # the first peaks of methanol and formaldehyde in the gas phase
        assert spectra.mean[row, peak - ENERGY > 1.5].max() < 0.2
        assert spectra.mean[row, abs(ENERGY - peak) < 0.8].max() > 0.5
        assert spectra.std[row].max() < 0.2 * spectra.mean[row].max()
        assert np.allclose(spectra.std[row], np.sqrt((spectra.factors[row] ** 2).sum(axis=0)))
    model = prediction().spectra
    for row in (1, 3):
        assert np.array_equal(spectra.mean[row], model.mean[row])
        assert np.array_equal(spectra.factors[row], model.factors[row])
    assert np.array_equal(spectra.distance, model.distance)
    says = "candidate 'methoxide' was not computed from first principles: its charge is -1"
    assert [text.startswith(says) for text in refinement.remarks()] == [True]
    assert refinement.refined(prediction()) is None  # nothing is new


def test_what_was_computed_is_there_at_once_in_another_run(escalation: Escalation):
    started(escalation, METHANOL)
    assert escalation.wait(PATIENCE)
    again = started(escalation, METHANOL)
    assert escalation.wait(0.0)
    found = again.refined(prediction())
    assert found is not None
    assert found.spectra.source == ("theory", "model", "model", "model")


def test_the_process_stands_back_and_is_out_of_reach_of_the_terminal(escalation: Escalation):
    started(escalation, METHANOL, METHOXIDE)
    assert escalation.wait(PATIENCE)
    assert os.getpriority(os.PRIO_PROCESS, pid(escalation)) >= 10
    assert os.getsid(pid(escalation)) == pid(escalation) != os.getsid(0)


def test_a_process_that_dies_leaves_the_model_s_spectrum_and_the_next_is_computed():
    with Escalation() as escalation:
        refinement = started(escalation, STEARYL, METHANOL)
        assert not escalation.wait(0.5)
        os.kill(pid(escalation), signal.SIGKILL)
        assert escalation.wait(PATIENCE)
        found = refinement.refined(prediction())
        assert found is not None
        assert found.spectra.source == ("theory", "model", "model", "model")
        says = "candidate 'stearyl alcohol' was not computed from first principles: its process ended (it said nothing)"
        assert refinement.remarks() == (says,)


def test_closing_ends_the_process_within_a_second():
    escalation = Escalation()
    refinement = started(escalation, METHANOL, STEARYL)
    while refinement.refined(prediction()) is None:  # then it is at the second
        assert not escalation.wait(0.1)
    process = pid(escalation)
    before = time.monotonic()
    escalation.close()
    assert time.monotonic() - before < 1.0
    with pytest.raises(ProcessLookupError):
        os.kill(process, 0)
    escalation.close()
    refinement.lead(["methanol"])
    assert escalation.wait(0.0)  # and nothing more is computed


def test_what_no_longer_leads_is_not_computed():
    with Escalation() as escalation:
        refinement = started(escalation, STEARYL, METHANOL, FORMALDEHYDE)
        refinement.lead(["methoxide"])
        assert not escalation.wait(0.0)
        refinement.end()
        assert escalation.wait(0.0)


def test_a_process_that_never_lives_is_given_up(monkeypatch):
    monkeypatch.setattr(module, "WORKER", "xas_bluesky.nothing")
    with Escalation() as escalation:
        tasks = [Task("C" * n + "O", "smiles", "O K", ENERGY.tobytes()) for n in range(1, MOST_CRASHES + 3)]
        escalation.want(tasks)
        assert escalation.wait(PATIENCE)
        found = [escalation.known(task) for task in tasks]
        assert [text is not None for text in found] == [True] * MOST_CRASHES + [False] * 2
        assert "No module named xas_bluesky.nothing" in str(found[0])
        escalation.want(tasks)
        assert escalation.wait(0.0)


def test_only_the_first_of_a_ranking_are_wanted(monkeypatch):
    wanted: list[Task] = []
    monkeypatch.setattr(Escalation, "want", lambda _, tasks: wanted.extend(tasks))
    many = [Candidate(str(n), "C" * n + "O") for n in range(1, 3 * LEADING)]
    refinement = Escalation().of(many)
    refinement.lead([one.name for one in many])
    assert wanted == []  # there is no prediction yet
    assert refinement.refined(prediction()) is None
    refinement.lead([one.name for one in many])
    assert [task.structure for task in wanted] == [one.structure for one in many[:LEADING]]


def test_it_says_what_is_missing(monkeypatch):
    assert Escalation.why_not() is None
    monkeypatch.setattr(module, "NEEDED", ("pyscf", "no_such_package"))
    assert Escalation.why_not() == "no no_such_package here; install xas-bluesky[theory]"


def test_the_live_side_loads_no_chemistry():
    code = "from xas_bluesky.escalation import Escalation; Escalation.why_not()"
    check = f"import sys; {code}; print({{'torch', 'rdkit', 'pyscf'}} & set(sys.modules))"
    assert subprocess.run([sys.executable, "-c", check], capture_output=True, text=True, check=True).stdout == "set()\n"
