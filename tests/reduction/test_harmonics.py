import random
from pathlib import Path

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from xas_bluesky.files import read_spectrum
from xas_bluesky.reduction import absorption
from xas_bluesky.reduction.harmonics import suspect_harmonics
from xas_bluesky.spectra import Absorption

QUALITY = Path(__file__).parents[1] / "data" / "measured" / "quality"
ENERGY = np.arange(7000.0, 7300.0)


def scan(mu: np.ndarray, variance: float | np.ndarray = 1e-6) -> Absorption:
    return Absorption(ENERGY, mu, np.broadcast_to(variance, mu.shape))


def edge(thickness: float) -> np.ndarray:
    return 0.4 + thickness * (0.5 + np.arctan(ENERGY - 7112) / np.pi)


def test_a_thick_foil_is_suspect_above_its_edge_only() -> None:
    foil = absorption(read_spectrum(QUALITY / "Hansel2001_Fe_foil_xanes_001.xdi"), "transmission")
    suspect = suspect_harmonics(foil)
    assert 5 <= suspect.sum() <= 30
    assert foil.energy[suspect].min() > 7112
    thin = absorption(read_spectrum(QUALITY / "k2cro4_rt_001.xdi"), "transmission")
    assert not suspect_harmonics(thin).any()


def test_harmonics_of_the_assumed_share_would_be_a_tenth_of_the_light_there() -> None:
    mu = np.linspace(0.0, 5.0, 300)
    first = mu[suspect_harmonics(scan(np.concatenate([np.zeros(20), mu[20:]])))][0]
    assert np.isclose(0.005 * np.exp(first), 0.1, rtol=0.03)


@given(offset=st.floats(-100, 100), thickness=st.floats(0.1, 6), order=st.randoms(use_true_random=False))
def test_gains_and_order_do_not_matter(offset: float, thickness: float, order: random.Random) -> None:
    mu = edge(thickness)
    suspect = suspect_harmonics(scan(mu))
    np.testing.assert_array_equal(suspect_harmonics(scan(mu + offset)), suspect)
    shuffled = list(range(len(mu)))
    order.shuffle(shuffled)
    np.testing.assert_array_equal(suspect_harmonics(scan(mu[shuffled])), suspect[shuffled])


def test_bad_points_make_no_others_suspect() -> None:
    mu, variance = edge(2.5), np.full(300, 1e-6)
    mu[[5, 6]] = -3.0
    assert not suspect_harmonics(scan(mu)).any()
    mu[250], variance[250] = 9.0, np.inf
    assert not suspect_harmonics(scan(mu, variance)).any()
    assert not suspect_harmonics(scan(mu, np.inf)).any()
