from collections.abc import Callable

import numpy as np
import torch

from xas_bluesky.models import Ensemble, collate
from xas_bluesky.models.ensemble import ask
from xas_bluesky.structures import AtomGraph


def test_sites_are_the_networks_outputs_on_their_scale(ensemble: Ensemble, graph: Callable[..., AtomGraph]):
    batch = collate([graph("CS"), graph("CSSC")])
    sites, distance = ensemble.sites(batch, "S K")
    assert sites.spectrum.shape == (3, 5)
    assert sites.disagreement.shape == (3, 2, 5)
    assert sites.ionization.shape == distance.shape == (3,)
    with torch.inference_mode():
        outputs = [network.heads["S K"](network(batch)).numpy() for network in ensemble.networks]
    scaling = ensemble.edges["S K"].scaling
    assert np.allclose(sites.spectrum, scaling.center + scaling.scale * np.mean(outputs, axis=0)[:, :5], atol=1e-6)
    assert np.allclose(sites.ionization, scaling.ionization + scaling.spread * np.mean(outputs, axis=0)[:, 5], atol=1e-5)


def test_every_edge_has_a_head_of_its_own(ensemble: Ensemble, graph: Callable[..., AtomGraph]):
    sites, _ = ensemble.sites(collate([graph("CS(C)(=O)=O", "O")]), "O K")
    assert sites.spectrum.shape == (2, 6)


def test_a_site_of_the_training_set_is_at_no_distance(ensemble: Ensemble):
    errors = ensemble.edges["S K"].errors
    latent = np.linalg.lstsq(errors.projection.T, errors.known.T, rcond=None)[0].T
    assert (errors.distance(latent) < errors.distance(latent + 5)).all()


def test_the_first_networks_states_come_along(ensemble: Ensemble, graph: Callable[..., AtomGraph]):
    batch = collate([graph("CSSC")])
    _, latent = ask(ensemble.networks, batch, "S K")
    with torch.inference_mode():
        assert np.allclose(latent, ensemble.networks[0](batch).numpy())
