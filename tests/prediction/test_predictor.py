import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from xas_bluesky.candidates import Candidate
from xas_bluesky.errors import CandidateError, EdgeError, ModelError
from xas_bluesky.prediction import Predictor, shipped_model
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
TENORITE = """CuO
1.0
4.68 0 0
0 3.42 0
-0.85 0 5.06
Cu O
4 4
direct
0.25 0.25 0
0.75 0.75 0
0.25 0.75 0.5
0.75 0.25 0.5
0 0.418 0.25
0.5 0.918 0.25
0 0.582 0.75
0.5 0.082 0.75
"""


def candidates(names: Sequence[str] = NAMES) -> list[Candidate]:
    return [Candidate(name, SMILES[name], f"list.csv:{line}") for line, name in enumerate(names, 2)]


@pytest.fixture(scope="module")
def predicted(predictor: Predictor) -> PredictedSpectra:
    return predictor.predict(candidates(), "S K").spectra


def row(spectra: PredictedSpectra, name: str) -> int:
    return spectra.candidate.index(name)


@pytest.mark.parametrize(
    ("name", "low", "high"),
    [("methionine sulfone", 2477, 2481.5), ("cysteine", 2471.5, 2474.5), ("dimethyl sulfoxide", 2474, 2478)],
)
def test_the_main_peak_lies_where_the_class_has_it(predicted: PredictedSpectra, name: str, low: float, high: float):
    assert low <= predicted.energy[predicted.mean[row(predicted, name)].argmax()] <= high


@pytest.mark.parametrize(
    ("edge", "smiles", "low", "high"),
    [
        ("C K", "C=C", 283.5, 286),
        ("C K", "C#N", 285.5, 288),
        ("N K", "C#N", 398.5, 401.5),
        ("O K", "CC(C)=O", 530, 533),
        ("O K", "CCO", 532.5, 540),
        ("F K", "CF", 687, 696),
    ],
)
def test_every_edge_of_the_light_elements_is_where_it_is_known_to_be(
    predictor: Predictor, edge: str, smiles: str, low: float, high: float
):
    """Known, within an eV or so: the 1s-to-π* lines and the first resonances (data/gas_phase)."""
    found = predictor.predict([Candidate("a", smiles)], edge).spectra
    assert low <= found.energy[found.mean[0].argmax()] <= high


def test_a_crystal_is_predicted_whatever_cell_it_is_given_in(predictor: Predictor):
    doubled = TENORITE.replace("4.68 0 0", "9.36 0 0").replace("4 4", "8 8")
    rows = [line.split() for line in TENORITE.splitlines()[8:]]
    copies = {
        kind: [f"{(float(x) + shift) / 2} {y} {z}" for shift in (0, 1) for x, y, z in of]
        for kind, of in (("Cu", rows[:4]), ("O", rows[4:]))
    }
    text = "\n".join([*doubled.splitlines()[:8], *copies["Cu"], *copies["O"]])
    found = predictor.predict(
        [Candidate("cell", TENORITE, format="poscar"), Candidate("two cells", text, format="poscar")], "Cu K"
    ).spectra
    assert np.allclose(found.mean[0], found.mean[1], atol=1e-4)
    assert (found.energy[0], found.energy[-1]) == (8980, 9124)
    half = found.energy[np.argmax(found.mean[0] > 0.5)]
    assert 8982 < half < 8995
    assert found.supported.all()
    assert found.mean[0, -60:].mean() == pytest.approx(1, abs=0.1)


def test_shapes_order_and_origin(predicted: PredictedSpectra, predictor: Predictor):
    count, points = len(NAMES), len(predicted.energy)
    assert predicted.candidate == NAMES
    assert (predicted.edge, predicted.model) == ("S K", predictor.model)
    assert predicted.mean.shape == predicted.std.shape == (count, points)
    assert predicted.factors.shape[::2] == (count, points)
    assert predicted.ionization.shape == predicted.supported.shape == predicted.distance.shape == (count,)
    assert (np.diff(predicted.energy) > 0).all()
    assert np.isfinite(predicted.mean).all()
    assert (predicted.std > 0).all()


def test_the_factors_hold_no_more_than_the_whole_variance(predicted: PredictedSpectra):
    correlated = (predicted.factors**2).sum(axis=1)
    assert (correlated <= predicted.std**2 * (1 + 1e-9)).all()
    assert correlated.sum() > 0.5 * (predicted.std**2).sum()


def test_below_the_edge_there_is_nothing_and_above_it_the_atomic_jump(predicted: PredictedSpectra):
    assert np.abs(predicted.mean[:, 0]).max() < 0.1
    assert np.abs(predicted.mean[:, -1] - 1).max() < 0.2


def test_a_structure_unlike_the_training_set_says_so_and_has_a_wider_band(predictor: Predictor):
    known, unknown = candidates(["methionine"])[0], Candidate("a", "C[Se]CCSC")
    found = predictor.predict([known, unknown], "S K").spectra
    assert found.supported.tolist() == [True, False]
    assert found.std[1].mean() > 1.5 * found.std[0].mean()


def test_single_atoms_are_predicted(predictor: Predictor, predicted: PredictedSpectra):
    found = predictor.predict([Candidate("atom", "[S]")], "S K").spectra
    assert np.isfinite(found.mean).all()
    assert found.distance[0] > predicted.distance.max()


def test_a_bonding_that_training_did_not_hold_is_far_and_unsupported(predictor: Predictor, predicted: PredictedSpectra):
    found = predictor.predict(
        [Candidate("hexafluoride", "FS(F)(F)(F)(F)F"), Candidate("sulfate", "COS(=O)(=O)OC")], "S K"
    ).spectra
    assert (found.distance > 2 * predicted.distance.max()).all()
    assert not found.supported.any()


def test_a_molecule_is_the_mean_of_its_absorbers(predicted: PredictedSpectra):
    spectrum = predicted.mean[row(predicted, "mixed")]
    thioether, sulfone = (predicted.mean[row(predicted, name)] for name in ("methionine", "methionine sulfone"))
    assert np.abs(spectrum - (thioether + sulfone) / 2).mean() < 0.15
    assert np.abs(spectrum - sulfone).mean() > 0.3
    zero = predicted.ionization
    between = sorted((zero[row(predicted, "methionine")], zero[row(predicted, "methionine sulfone")]))
    assert between[0] < zero[row(predicted, "mixed")] < between[1]


def test_conformers_are_averaged_over(predictor: Predictor):
    one, three = (predictor.predict(candidates(["methionine"]), "S K", conformers=n).spectra for n in (1, 3))
    assert not np.allclose(one.mean, three.mean, atol=1e-4)
    assert np.abs(one.mean - three.mean).mean() < 0.2
    assert 0.5 < three.std.mean() / one.std.mean() < 2  # not narrower: the conformers are of one molecule


def test_the_other_candidates_do_not_matter(predictor: Predictor, predicted: PredictedSpectra):
    alone = predictor.predict(candidates(["cystine"]), "S K").spectra
    assert np.allclose(alone.mean[0], predicted.mean[row(predicted, "cystine")], atol=1e-5)
    assert np.allclose(alone.std[0], predicted.std[row(predicted, "cystine")], atol=1e-5)


def test_many_candidates_come_in_order_from_several_batches(predictor: Predictor):
    several = [Candidate(f"{name} {copy}", SMILES[name]) for copy in range(8) for name in NAMES]
    found = predictor.predict(several, "S K").spectra
    assert found.candidate == tuple(candidate.name for candidate in several)
    assert np.allclose(found.mean[: len(NAMES)], found.mean[-len(NAMES) :], atol=1e-5)


def test_every_spelling_has_the_same_spectrum(predictor: Predictor):
    spelled = [Candidate("a", "CS(=O)CC[C@H](N)C(=O)O"), Candidate("b", "OC(=O)[C@@H](N)CC[S+](C)[O-]")]
    found = predictor.predict(spelled, "S K").spectra
    assert np.allclose(found.mean[0], found.mean[1], atol=1e-5)
    assert found.supported.all()


def test_an_element_that_training_did_not_hold_is_unsupported(predictor: Predictor):
    found = predictor.predict([Candidate("selenide", "C[Se]CS")], "S K").spectra
    assert found.supported.tolist() == [False]


@pytest.mark.parametrize("edge", ["C K", "S K", "Cu K"])
def test_the_population_holds_each_kind_and_one_unlike_all(predictor: Predictor, edge: str):
    population = predictor.population(edge)
    kinds = population.candidate[:-1]
    assert kinds == tuple(f"like {name}" for name in predictor.card.edges[edge].kinds)
    assert len(kinds) > 3
    assert population.candidate[-1] == UNLIKE
    assert (population.std[-1].mean() > 2 * population.std[:-1].mean(axis=1)).all()
    assert np.allclose(population.std**2, (population.factors**2).sum(axis=1))
    assert population.supported.tolist() == [True] * len(kinds) + [False]


def test_the_population_is_on_the_energies_of_the_candidates(predictor: Predictor, predicted: PredictedSpectra):
    answer = predictor.predict(candidates(["cysteine"]), "S K")
    assert np.array_equal(answer.population.energy, answer.spectra.energy)
    assert np.array_equal(predicted.energy, answer.spectra.energy)


def test_bad_candidates_are_named_and_the_others_served(predictor: Predictor):
    bad = [
        Candidate("ring", "C1CS", "list.csv:7"),
        Candidate("ethanol", "CCO", "list.csv:8"),
        Candidate("strained", "SC1C#C1", "list.csv:9"),
    ]
    answer = predictor.predict([bad[0], *candidates(["cysteine"]), *bad[1:]], "S K")
    assert answer.spectra.candidate == ("cysteine",)
    assert [text.split(": ")[0] for text in answer.rejected] == ["list.csv:7", "list.csv:8", "list.csv:9"]
    assert "not a valid SMILES" in answer.rejected[0]
    assert "holds no S" in answer.rejected[1]
    assert "no three-dimensional geometry" in answer.rejected[2]


def test_a_list_of_bad_candidates_only_is_refused_with_every_reason(predictor: Predictor):
    bad = [Candidate("ring", "C1CS", "list.csv:7"), Candidate("ethanol", "CCO", "list.csv:8")]
    with pytest.raises(CandidateError, match=r"list\.csv:7: .*not a valid SMILES.*; list\.csv:8: .*holds no S"):
        predictor.predict(bad, "S K")


def test_an_empty_list_is_refused(predictor: Predictor):
    with pytest.raises(CandidateError, match="no candidate was given; name at least one"):
        predictor.predict([], "S K")


def test_two_candidates_of_one_name_are_refused(predictor: Predictor):
    twice = [Candidate("a", "CS", "list.csv:2"), Candidate("a", "CSC", "list.csv:3")]
    with pytest.raises(CandidateError, match=r"^list\.csv:3: candidate 'a': another candidate has this name; make"):
        predictor.predict(twice, "S K")


@pytest.mark.parametrize("edge", ["Fe K", "S L3"])
def test_an_edge_without_a_model_is_refused_with_what_there_is(predictor: Predictor, edge: str):
    with pytest.raises(
        EdgeError, match=rf"edge '{edge}': no model covers it; the model covers 'C K', 'Cu K', 'F K', 'N K', 'O K', 'S K'"
    ):
        predictor.predict(candidates(["cysteine"]), edge)


def test_an_edge_that_is_none_is_refused(predictor: Predictor):
    with pytest.raises(EdgeError, match="xraydb knows no such edge"):
        predictor.edge("Xx K")


def test_an_edge_may_be_written_as_files_write_it(predictor: Predictor):
    assert predictor.edge("s_k") == "S K"


def test_a_folder_without_a_model_is_refused(tmp_path: Path):
    with pytest.raises(ModelError, match="cannot be read"):
        Predictor.load(tmp_path)


def test_the_shipped_model_is_small_readable_and_says_what_it_was_trained_on(predictor: Predictor):
    files = list(shipped_model().iterdir())
    assert sum(path.stat().st_size for path in files) < 25e6
    assert all(path.stat().st_mode & 0o444 == 0o444 for path in files) or os.name == "nt"
    card = predictor.card
    assert card.networks >= 4
    assert card.command.startswith("xas-bluesky train")
    for edge in ("C K", "N K", "O K", "F K", "S K", "Cu K"):
        found = card.figures[f"{edge} test"]
        assert found["relative_l1"] < 0.7 * found["relative_l1_mean_spectrum"]
        assert card.edges[edge].sites > 300
