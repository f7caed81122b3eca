from collections.abc import Callable

import numpy as np
import torch

from xas_bluesky.models import Ensemble, collate
from xas_bluesky.models.ensemble import by_molecule
from xas_bluesky.structures import AtomGraph


def test_spectra_are_the_networks_outputs_on_their_scale(ensemble: Ensemble, graph: Callable[[str], AtomGraph]):
    graphs = [graph("CS"), graph("CSSC")]
    found = ensemble.predict(graphs)
    assert found.shape == (2, 3, 5)
    with torch.inference_mode():
        second = ensemble.networks[1](collate(graphs)).numpy()
    assert np.allclose(found[1], ensemble.center + ensemble.scale * second, atol=1e-6)


def test_a_prediction_does_not_draw_dropout(ensemble: Ensemble, graph: Callable[[str], AtomGraph]):
    ensemble.networks[0].train()
    assert np.array_equal(ensemble.predict([graph("CS")]), ensemble.predict([graph("CS")]))


def test_rows_of_each_molecule(graph: Callable[[str], AtomGraph]):
    rows = by_molecule([graph("CS"), graph("CSSC"), graph("CSC")])
    assert [list(each) for each in rows] == [[0], [1, 2], [3]]
