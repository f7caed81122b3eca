import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from xas_bluesky.candidates import Candidate
from xas_bluesky.errors import CandidateError, EdgeError, ModelError
from xas_bluesky.models.continuum import S_1S_IONIZATION
from xas_bluesky.prediction import Predictor, shipped_models
from xas_bluesky.prediction.predictor import UNLIKE
from xas_bluesky.spectra import PredictedSpectra

SMILES = {
    "methionine sulfone": "CS(=O)(=O)CC[C@H](N)C(=O)O",
    "cysteine": "N[C@@H](CS)C(=O)O",
    "methionine": "CSCC[C@H](N)C(=O)O",
    "dimethyl sulfoxide": "CS(C)=O",
    "taurine": "NCCS(=O)(=O)O",
    "cystine": "N[C@@H](CSSC[C@H](N)C(=O)O)C(=O)O",
    "mixed": "CSCCS(C)(=O)=O",
}
NAMES = tuple(SMILES)


def candidates(names: Sequence[str] = NAMES) -> list[Candidate]:
    return [Candidate(name, SMILES[name], f"list.csv:{line}") for line, name in enumerate(names, 2)]


@pytest.fixture(scope="module")
def predicted(predictor: Predictor) -> PredictedSpectra:
    return predictor.predict(candidates()).spectra


def row(spectra: PredictedSpectra, name: str) -> int:
    return spectra.candidate.index(name)


@pytest.mark.parametrize(
    ("name", "low", "high"),
    [("methionine sulfone", 2477, 2481), ("cysteine", 2471.5, 2474.5), ("dimethyl sulfoxide", 2474, 2478)],
)
def test_the_main_peak_lies_where_the_class_has_it(predicted: PredictedSpectra, name: str, low: float, high: float):
    assert low <= predicted.energy[predicted.mean[row(predicted, name)].argmax()] <= high


def test_shapes_order_and_origin(predicted: PredictedSpectra, predictor: Predictor):
    count, points = len(NAMES), len(predicted.energy)
    assert predicted.candidate == NAMES
    assert (predicted.edge, predicted.model) == ("S K", predictor.model)
    assert predicted.mean.shape == predicted.std.shape == (count, points)
    assert predicted.factors.shape[::2] == (count, points)
    assert predicted.ionization.shape == predicted.supported.shape == (count,)
    assert (np.diff(predicted.energy) > 0).all()
    assert np.isfinite(predicted.mean).all()
    assert (predicted.std > 0).any(axis=1).all()


def test_the_standard_deviation_is_that_of_the_factors(predicted: PredictedSpectra):
    assert np.allclose(predicted.std**2, (predicted.factors**2).sum(axis=1), rtol=1e-12)


def test_below_the_edge_there_is_nothing_and_above_it_the_atomic_jump(predicted: PredictedSpectra):
    assert np.abs(predicted.mean[:, 0]).max() < 0.1
    for mean, ionization in zip(predicted.mean, predicted.ionization, strict=True):
        above = predicted.energy > ionization + 2.5
        assert np.abs(mean[above] - 1).max(initial=0) < 0.3


@pytest.mark.parametrize(("unknown", "known"), [("taurine", "methionine sulfone"), ("cystine", "methionine")])
def test_a_class_without_training_support_says_so_and_has_wider_bands(predicted: PredictedSpectra, unknown: str, known: str):
    supported = dict(zip(predicted.candidate, predicted.supported, strict=True))
    assert (supported[unknown], supported[known]) == (False, True)
    assert predicted.std[row(predicted, unknown)].mean() > 1.5 * predicted.std[row(predicted, known)].mean()


def test_a_molecule_is_the_mean_of_its_absorbers(predicted: PredictedSpectra):
    assert predicted.ionization[row(predicted, "mixed")] == pytest.approx((S_1S_IONIZATION[0] + S_1S_IONIZATION[2]) / 2)
    spectrum = predicted.mean[row(predicted, "mixed")]
    thioether, sulfone = (predicted.mean[row(predicted, name)] for name in ("methionine", "methionine sulfone"))
    assert np.abs(spectrum - (thioether + sulfone) / 2).mean() < 0.15
    assert np.abs(spectrum - sulfone).mean() > 0.3


def test_the_other_candidates_do_not_matter(predictor: Predictor, predicted: PredictedSpectra):
    alone = predictor.predict(candidates(["cystine"])).spectra
    assert np.allclose(alone.mean[0], predicted.mean[row(predicted, "cystine")], atol=1e-5)
    assert np.allclose(alone.std[0], predicted.std[row(predicted, "cystine")], atol=1e-5)


def test_every_spelling_has_the_same_spectrum(predictor: Predictor):
    spelled = [Candidate("a", "CS(=O)CC[C@H](N)C(=O)O"), Candidate("b", "OC(=O)[C@@H](N)CC[S+](C)[O-]")]
    found = predictor.predict(spelled).spectra
    assert np.allclose(found.mean[0], found.mean[1], atol=1e-5)
    assert found.supported.all()


def test_an_element_that_training_did_not_hold_is_unsupported(predictor: Predictor):
    found = predictor.predict([Candidate("iodide", "CSCI"), Candidate("bromide", "CSCBr")]).spectra
    assert found.supported.tolist() == [False, True]


def test_single_atoms_are_predicted_but_unsupported(predictor: Predictor):
    found = predictor.predict([Candidate("hydrogen sulfide", "S"), Candidate("atom", "[S]")]).spectra
    assert np.isfinite(found.mean).all()
    assert not found.supported.any()


def test_the_population_holds_each_kind_and_one_unlike_all(predictor: Predictor):
    population = predictor.population()
    kinds = population.candidate[:-1]
    assert list(kinds) == predictor.card.kinds
    assert {"S", "S(=C)", "S(=O)", "S(=O)(=O)"} == set(kinds)
    assert population.candidate[-1] == UNLIKE
    assert (population.std[-1].mean() > 2 * population.std[:-1].mean(axis=1)).all()
    assert np.allclose(population.std**2, (population.factors**2).sum(axis=1))
    assert population.supported.tolist() == [True] * len(kinds) + [False]


def test_the_population_is_on_the_energies_of_the_candidates(predictor: Predictor, predicted: PredictedSpectra):
    answer = predictor.predict(candidates(["cysteine"]))
    assert np.array_equal(answer.population.energy, answer.spectra.energy)
    assert np.array_equal(predicted.energy, answer.spectra.energy)


def test_a_kind_is_like_its_members(predictor: Predictor, predicted: PredictedSpectra):
    population = predictor.population()
    sulfone = population.mean[population.candidate.index("S(=O)(=O)")]
    distance = np.abs(predicted.mean - sulfone).sum(axis=1)
    assert predicted.candidate[distance.argmin()] == "methionine sulfone"


def test_bad_candidates_are_named_and_the_others_served(predictor: Predictor):
    bad = [
        Candidate("ring", "C1CS", "list.csv:7"),
        Candidate("ethanol", "CCO", "list.csv:8"),
        Candidate("strained", "SC1C#C1", "list.csv:9"),
    ]
    answer = predictor.predict([bad[0], *candidates(["cysteine"]), *bad[1:]])
    assert answer.spectra.candidate == ("cysteine",)
    assert [text.split(": ")[0] for text in answer.rejected] == ["list.csv:7", "list.csv:8", "list.csv:9"]
    assert "not a valid SMILES" in answer.rejected[0]
    assert "holds no S" in answer.rejected[1]
    assert "no three-dimensional geometry" in answer.rejected[2]


def test_a_list_of_bad_candidates_only_is_refused_with_every_reason(predictor: Predictor):
    bad = [Candidate("ring", "C1CS", "list.csv:7"), Candidate("ethanol", "CCO", "list.csv:8")]
    with pytest.raises(CandidateError, match=r"list\.csv:7: .*not a valid SMILES.*; list\.csv:8: .*holds no S"):
        predictor.predict(bad)


def test_an_empty_list_is_refused(predictor: Predictor):
    with pytest.raises(CandidateError, match="no candidate was given; name at least one"):
        predictor.predict([])


def test_two_candidates_of_one_name_are_refused(predictor: Predictor):
    twice = [Candidate("a", "CS", "list.csv:2"), Candidate("a", "CSC", "list.csv:3")]
    with pytest.raises(CandidateError, match=r"^list\.csv:3: candidate 'a': another candidate has this name; make"):
        predictor.predict(twice)


@pytest.mark.parametrize("edge", ["Cu K", "S L3"])
def test_an_edge_without_a_model_is_refused_with_what_there_is(edge: str):
    with pytest.raises(EdgeError, match=rf"edge '{edge}': no model covers it; the models cover 'S K'"):
        Predictor.for_edge(edge)


def test_an_edge_that_is_none_is_refused():
    with pytest.raises(EdgeError, match="xraydb knows no such edge"):
        Predictor.for_edge("Xx K")


def test_an_edge_may_be_written_as_files_write_it(predictor: Predictor):
    assert Predictor.for_edge("s_k").model == predictor.model


def test_a_folder_without_a_model_is_refused(tmp_path: Path):
    with pytest.raises(ModelError, match="cannot be read"):
        Predictor.from_folder(tmp_path)


def test_the_shipped_model_is_small_and_says_what_it_was_trained_on(predictor: Predictor):
    folder = shipped_models()["S K"]
    assert sum(path.stat().st_size for path in folder.iterdir()) < 10e6
    card = predictor.card
    assert card.networks >= 4
    assert card.elements == [1, 6, 7, 8, 9, 14, 16, 17, 35]
    assert card.command.startswith("xas-bluesky train")
    for part in ("own_test", "authors_test"):
        ours = card.figures[f"{part}_relative_l1"]
        assert ours < card.figures[f"{part}_relative_l1_kernel_ridge"] < card.figures[f"{part}_relative_l1_mean_spectrum"]
    assert json.loads((folder / "model.json").read_text())["edge"] == "S K"
