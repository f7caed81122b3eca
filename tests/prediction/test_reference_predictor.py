import numpy as np
import pytest

from xas_bluesky.candidates import Candidate
from xas_bluesky.errors import CandidateError, EdgeError
from xas_bluesky.prediction import Predictor
from xas_bluesky.prediction.reference_predictor import ReferencePredictor

CANDIDATES = [Candidate("acetone", "CC(C)=O"), Candidate("ring", "C1C"), Candidate("ethanol", "CCO")]


@pytest.fixture(scope="module")
def reference() -> ReferencePredictor:
    return ReferencePredictor.load("cpu", 1)


def test_it_predicts_in_the_form_of_ours_and_about_the_same(reference: ReferencePredictor, predictor: Predictor):
    theirs, ours = (each.predict(CANDIDATES, "O K") for each in (reference, predictor))
    assert theirs.spectra.candidate == ("acetone", "ethanol")
    assert theirs.rejected == ours.rejected
    assert theirs.spectra.model == reference.model != predictor.model
    assert np.array_equal(theirs.spectra.energy, ours.spectra.energy)
    assert np.array_equal(theirs.population.mean, ours.population.mean)
    correlation = [np.corrcoef(one, other)[0, 1] for one, other in zip(theirs.spectra.mean, ours.spectra.mean, strict=True)]
    assert min(correlation) > 0.9
    assert (theirs.spectra.std > 0).all()
    assert np.isnan(theirs.spectra.distance).all()


def test_an_element_that_training_did_not_hold_is_unsupported(reference: ReferencePredictor):
    found = reference.predict([Candidate("a", "CCO"), Candidate("b", "C[Se]CO")], "O K").spectra
    assert found.supported.tolist() == [True, False]


def test_conformers_are_averaged_over(reference: ReferencePredictor):
    one, three = (reference.predict([Candidate("a", "CCCCO")], "O K", conformers=n).spectra for n in (1, 3))
    assert one.mean.shape == three.mean.shape
    assert not np.array_equal(one.mean, three.mean)


def test_what_it_cannot_read_is_refused(reference: ReferencePredictor):
    with pytest.raises(CandidateError, match="holds no O"):
        reference.predict([Candidate("a", "CC")], "O K")
    with pytest.raises(EdgeError, match="edge 'Fe K': no model covers it"):
        reference.predict(CANDIDATES, "Fe K")
    with pytest.raises(CandidateError, match="a crystal, not a molecule"):
        reference.predict([Candidate("a", "Cu\n1", format="poscar")], "Cu K")
