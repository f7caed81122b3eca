import numpy as np
import pytest

from xas_bluesky.training import baselines
from xas_bluesky.training.baselines import kernel_ridge, mean_spectrum
from xas_bluesky.training.dataset import Example, spectra_of
from xas_bluesky.training.metrics import relative_l1


@pytest.fixture(scope="module")
def train(examples: list[Example]) -> list[Example]:
    return [example for example in examples if example.part == "train"]


@pytest.fixture(scope="module")
def held_out(examples: list[Example]) -> list[Example]:
    return [example for example in examples if example.part == "test"]


def test_the_mean_spectrum_is_the_training_sets(train: list[Example], held_out: list[Example]):
    found = mean_spectrum(train, held_out)
    assert np.array_equal(found, np.tile(spectra_of(train).mean(axis=0), (len(held_out), 1)))


def test_kernel_ridge_reproduces_its_training_spectra(train: list[Example], monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(baselines, "RIDGE", 1e-8)
    few = train[::12]
    assert relative_l1(kernel_ridge(few, few), spectra_of(few)) < 1e-4


def test_a_large_ridge_gives_the_mean_spectrum(train: list[Example], monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(baselines, "RIDGE", 1e9)
    few = train[::12]
    assert np.allclose(kernel_ridge(few, few), mean_spectrum(few, few), atol=1e-6)


def test_kernel_ridge_beats_the_mean_spectrum_on_molecules_it_has_not_seen(train: list[Example], held_out: list[Example]):
    computed = spectra_of(held_out)
    skilled, unskilled = (relative_l1(of(train, held_out), computed) for of in (kernel_ridge, mean_spectrum))
    assert skilled < 0.25
    assert unskilled > 2 * skilled


def test_what_lies_far_from_the_absorber_does_not_matter(train: list[Example], held_out: list[Example]):
    thiol = held_out[0]
    near, far = (Example("x", "S" + "C" * 8 + end, "test", thiol.graph, thiol.spectrum) for end in ("Br", "CCCl"))
    same, other = kernel_ridge(train, [near, far])
    assert np.allclose(same, other)
