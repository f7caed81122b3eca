"""On the pairs of 14 compounds, computed as the data set's (sulfur_pairs.parquet), and on Gaussians of known covariance."""

from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy.special import voigt_profile

from xas_bluesky.edges import find_edge
from xas_bluesky.errors import DatasetError
from xas_bluesky.spectra import FWHM, Array
from xas_bluesky.structures import split
from xas_bluesky.theory import Dataset, read_dataset
from xas_bluesky.theory.broadening import MEGABARN_EV
from xas_bluesky.training import theory_pairs
from xas_bluesky.training.sulfur_set import read_compounds
from xas_bluesky.training.theory_pairs import (
    FLOOR,
    GAUSSIAN,
    GRID,
    LORENTZIAN,
    SiteSticks,
    TheoryError,
    TheoryPairs,
    fit_constant,
    pair_theories,
)

MATCHING = -0.5
"""eV: what lays the published energies on ours; its spread over all compounds is 0.2 eV."""


@pytest.fixture(scope="module")
def computed() -> Dataset:
    return read_dataset(Path(__file__).with_name("sulfur_pairs.parquet"))


@pytest.fixture(scope="module")
def pairs(computed: Dataset, shipped: Path) -> TheoryPairs:
    return pair_theories(computed, shipped)


def renamed(computed: Dataset, name: str, smiles: str) -> Dataset:
    """The first compound under another name and structure."""
    return replace(computed.select([0]), name=np.array([name]), smiles=np.array([smiles]))


def test_each_compound_is_paired_with_its_part_and_environment(pairs: TheoryPairs, computed: Dataset) -> None:
    assert pairs.name.tolist() == computed.name.tolist()
    assert Counter(pairs.part.tolist()) == {"train": 12, "test": 1, "TEST": 1}
    kinds = ["S(-C)(-C)", "S(-C)(-H)", "S(=C)", "S(-C)(-C)(=O)", "S(:C)(:C)", "S(-C)(-C)(=O)(=O)"]
    assert pairs.environment[pairs.part == "train"].tolist() == np.repeat(kinds, 2).tolist()
    assert pairs.environment[pairs.name == "2-Amino-4-methylthiazole_oxide"] == "S(-C)(-C)(=O)"


def test_both_theories_count_from_the_computed_ionization_energy(pairs: TheoryPairs, shipped: Path) -> None:
    published = {row["name"]: (energy, strength) for row, energy, strength in read_compounds(shipped)}
    for place, name in enumerate(pairs.name):
        only = pairs.select(np.arange(len(pairs)) == place)
        energy, strength = published[str(name)]
        assert np.array_equal(only.published.energy + only.ionization, energy)
        assert np.array_equal(only.published.strength, strength)
        assert only.computed.energy.min() < -3
    by_oxygens = [pairs.ionization[pairs.environment == f"S(-C)(-C){oxygens}"].mean() for oxygens in ("", "(=O)", "(=O)(=O)")]
    assert np.diff(by_oxygens) == pytest.approx([2.6, 2.6], abs=0.6)
    assert by_oxygens[0] == pytest.approx(2478, abs=1)


def test_the_theories_agree_after_one_constant(pairs: TheoryPairs) -> None:
    constant = fit_constant(pairs)
    assert constant == pytest.approx(MATCHING, abs=0.2)
    rest = np.abs(pairs.peak_differences() - constant)
    assert np.median(rest) < 0.3
    assert rest[pairs.environment == "S(-C)(-H)"].max() < 0.3


def test_the_constant_is_of_training_compounds_alone(pairs: TheoryPairs) -> None:
    train = pairs.part == "train"
    moved = replace(pairs, published=pairs.published.shifted(np.where(train, 0, 3.0)))
    assert fit_constant(moved) == fit_constant(pairs)
    assert fit_constant(replace(pairs, published=pairs.published.shifted(0.5))) == pytest.approx(
        fit_constant(pairs) - 0.5, abs=0.05
    )


def test_spectra_of_bound_states_are_their_voigt_lines(pairs: TheoryPairs) -> None:
    bound = GRID < -5
    first = pairs.select(np.arange(len(pairs)) == 0).computed
    voigt = voigt_profile(GRID[:, None] - first.energy[first.energy < 0], GAUSSIAN / FWHM, LORENTZIAN / 2)
    lines = MEGABARN_EV / find_edge("S K").jump * (voigt @ first.strength[first.energy < 0])
    assert first.spectra()[0, bound] == pytest.approx(lines[bound], abs=0.05)
    assert lines[bound].max() > 1


def test_differences_are_of_spectra_and_follow_the_shift(pairs: TheoryPairs) -> None:
    assert np.allclose(pairs.differences(0.0), pairs.computed.spectra() - pairs.published.spectra())
    same = replace(pairs, published=pairs.computed.shifted(0.4))
    assert np.allclose(same.differences(-0.4), 0)
    assert same.peak_differences() == pytest.approx(np.full(len(pairs), -0.4), abs=0.03)
    assert np.sqrt(np.mean(pairs.differences(MATCHING) ** 2)) < np.sqrt(np.mean(pairs.differences(0.0) ** 2))


def test_selected_sticks_are_those_of_their_sites() -> None:
    sticks = SiteSticks.of(
        [(np.array([-5.0, 1.0]), np.array([0.1, 0.2])), (np.zeros(0), np.zeros(0)), (np.array([-2.0]), np.ones(1))]
    )
    chosen = sticks.select(np.array([True, False, True]))
    assert (chosen.energy.tolist(), chosen.strength.tolist(), chosen.count.tolist()) == ([-5, 1, -2], [0.1, 0.2, 1], [2, 1])
    assert chosen.shifted(np.array([1.0, 10.0])).energy.tolist() == [-4, 2, 8]
    assert chosen.peaks().tolist() == [-5, -2]


def test_a_cut_spectrum_is_left_out(
    computed: Dataset, shipped: Path, monkeypatch: pytest.MonkeyPatch, pairs: TheoryPairs
) -> None:
    last = np.array([energies.max() for energies in np.split(pairs.published.energy, np.cumsum(pairs.published.count)[:-1])])
    beyond = float(np.median(last)) - GRID[-1]
    monkeypatch.setattr(theory_pairs, "BEYOND", beyond)
    assert pair_theories(computed, shipped).name.tolist() == pairs.name[last >= np.median(last)].tolist()
    monkeypatch.setattr(theory_pairs, "BEYOND", 1000)
    assert len(pair_theories(computed, shipped)) == 0


def test_a_blind_compound_is_never_paired(computed: Dataset, shipped: Path) -> None:
    blind = next(row for row, _, _ in read_compounds(shipped) if row["smiles"] and split(row["smiles"]) == "blind")
    assert len(pair_theories(renamed(computed, blind["name"], blind["smiles"]), shipped)) == 0


@pytest.mark.parametrize(
    ("name", "smiles"), [("Sulfur_hexafluoride", "FS(F)(F)(F)(F)F"), ("Ethanethiol", "CS"), ("Carbamyl", "")]
)
def test_a_compound_that_the_set_does_not_hold(computed: Dataset, shipped: Path, name: str, smiles: str) -> None:
    with pytest.raises(DatasetError, match=f"molecule '{name}': .* holds no .* of this name; compute the compounds it holds"):
        pair_theories(renamed(computed, name, smiles), shipped)


FACTORS = np.array([np.sin(GRID), 0.5 * np.exp(-((GRID + 5) ** 2))])


def drawn(count: int, seed: int) -> Array:
    """Samples of a Gaussian with mean 0.2, these factors, and 0.05 independent at each energy."""
    random = np.random.default_rng(seed)
    return 0.2 + random.normal(size=(count, len(FACTORS))) @ FACTORS + 0.05 * random.normal(size=(count, len(GRID)))


def test_a_known_gaussian_is_learned() -> None:
    error = TheoryError.fit(drawn(4000, 0), rank=2)
    assert error.factors.shape == (2, len(GRID))
    assert error.mean == pytest.approx(np.full(len(GRID), 0.2), abs=0.05)
    assert error.factors.T @ error.factors == pytest.approx(FACTORS.T @ FACTORS, abs=0.07)
    assert error.rest == pytest.approx(np.full(len(GRID), np.hypot(0.05, FLOOR)), rel=0.15)
    assert error.std == pytest.approx(np.sqrt(np.diag(error.covariance)))


def test_distances_of_unseen_samples_are_those_of_the_gaussian() -> None:
    error = TheoryError.fit(drawn(4000, 0), rank=2)
    unseen = drawn(500, 1)
    assert error.distances(unseen).mean() == pytest.approx(len(GRID), rel=0.1)
    assert error.distances(unseen + 0.1).mean() > 3 * len(GRID)  # twice the independent error, everywhere


@pytest.mark.parametrize("rank", [0, 3, len(GRID)])
def test_variances_do_not_depend_on_the_rank(rank: int) -> None:
    samples = drawn(200, 2)
    assert TheoryError.fit(samples, rank).std ** 2 == pytest.approx(samples.var(axis=0) + FLOOR**2)
