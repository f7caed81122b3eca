"""On answers whose errors are drawn from a known distribution."""

import numpy as np
import pytest

from xas_bluesky.models import EdgeModel, Population, Scaling
from xas_bluesky.prediction.structure_spectra import average_sites
from xas_bluesky.spectra import Array
from xas_bluesky.training.asking import Asked
from xas_bluesky.training.error_fit import fit_errors

ENERGY = np.round(np.arange(-6.0, 6.01, 0.2), 1)
NETWORKS, STRUCTURES, TRUNK = 4, 300, 20


def draw(seed: int) -> tuple[Asked, Array]:
    """Sites whose errors grow with what the networks say of them: the noise that they expect."""
    random = np.random.default_rng(seed)
    count = random.integers(1, 4, STRUCTURES)
    sites = int(count.sum())
    spectra = np.exp(-0.5 * (ENERGY - random.uniform(-3, 3, (sites, 1))) ** 2)
    noise = random.normal(-2.5, 0.6, sites)
    smooth = np.exp(-0.5 * ((ENERGY[:, None] - ENERGY) / 0.8) ** 2)
    smooth /= np.sqrt((smooth**2).sum(axis=0))
    error = np.exp(noise)[:, None] * (random.normal(size=(sites, len(ENERGY))) @ smooth)
    apart = 0.3 * np.exp(noise)[:, None] * (random.normal(size=(NETWORKS, sites, len(ENERGY))) @ smooth)
    ionization = random.normal(0, 0.5, sites)
    outputs = np.concatenate(
        [
            spectra + error + apart,
            np.broadcast_to(ionization[:, None], (NETWORKS, sites, 1)),
            np.broadcast_to(noise[:, None], (NETWORKS, sites, 1)),
        ],
        axis=-1,
    )
    return Asked(outputs, random.normal(size=(sites, TRUNK)), spectra, 290 + ionization, count), np.exp(noise)


@pytest.fixture(scope="module")
def scaling() -> Scaling:
    return Scaling(ENERGY, np.zeros(len(ENERGY)), 1.0, 290.0, 1.0)


@pytest.fixture(scope="module")
def model(scaling: Scaling) -> EdgeModel:
    grid = np.round(np.arange(282.0, 298.01, 0.2), 3)
    nothing = np.zeros((1, len(grid)))
    population = Population(grid, nothing, nothing[None], np.array([290.0]))
    known = np.random.default_rng(3).normal(size=(500, TRUNK))
    return EdgeModel(scaling, fit_errors(known, draw(0)[0], scaling, population), population)


def test_the_bands_of_other_structures_are_right(model: EdgeModel, scaling: Scaling):
    asked, _ = draw(1)
    found = average_sites(model, scaling.sites(asked.outputs), model.errors.distance(asked.latent), asked.count)
    within = asked.within(scaling, model.population.energy)
    off = np.abs(found.mean - asked.means(scaling, model.population.energy))[within] / found.std[within]
    assert np.mean(off <= 1) == pytest.approx(0.68, abs=0.04)
    assert np.mean(off <= 1.96) == pytest.approx(0.95, abs=0.03)


def test_the_expected_error_follows_what_the_networks_say(model: EdgeModel, scaling: Scaling):
    asked, size = draw(1)
    expected = model.errors.expected(scaling.sites(asked.outputs), model.errors.distance(asked.latent))
    assert np.corrcoef(np.log(expected), np.log(size))[0, 1] > 0.9


def test_errors_are_correlated_along_energy(model: EdgeModel):
    factors = model.errors.residual
    covariance = factors.T @ factors + np.diag(model.errors.rest**2)
    std = np.sqrt(np.diag(covariance))
    correlation = covariance / std / std[:, None]
    assert np.diag(correlation, 1).mean() > 0.8
    assert np.abs(np.diag(correlation, 15)).mean() < 0.3


def test_a_site_from_elsewhere_is_far(model: EdgeModel):
    asked, _ = draw(2)
    assert (model.errors.distance(asked.latent) <= model.errors.far).mean() > 0.9
    assert (model.errors.distance(asked.latent + 10) > model.errors.far).all()
