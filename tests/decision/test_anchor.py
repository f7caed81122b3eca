import numpy as np
import pytest

from xas_bluesky.decision import Anchor, ScanRequest, anchors_for, regions, sweeps_of
from xas_bluesky.edges import find_edge
from xas_bluesky.errors import SettingsError
from xas_bluesky.spectra import Absorption

E0 = find_edge("S K").energy
SCAN = regions(E0, [-30, -10, 30, 45], [2, 0.2, 1], 1)


def test_the_anchors_are_energies_of_the_scan_below_the_edge_and_on_it():
    anchor = anchors_for("S K", SCAN)
    assert anchor.energies == pytest.approx((E0 - 12, E0 + 3))
    assert np.isin(anchor.energies, SCAN.energy).all()


def test_once_measured_the_sensitive_one_is_where_most_is_absorbed_near_the_edge():
    offsets = np.array([-20.0, -4.0, 0.0, 3.0, 6.02, 9.0, 30.0])
    mu = np.array([0.1, 0.2, 1.0, 1.2, 2.0, 9.0, 9.0])
    variance = np.array([1, 1, 1, 1, 1, np.inf, 1]) * 1e-4  # what weighs nothing, or lies far above, does not count
    assert anchors_for("S K", SCAN, Absorption(E0 + offsets, mu, variance)).energy_sensitive == pytest.approx(E0 + 6)
    dark = Absorption(E0 + offsets, mu, np.full(7, np.inf))
    assert anchors_for("S K", SCAN, dark).energy_sensitive == pytest.approx(E0 + 3)


@pytest.mark.parametrize("bounds", [[-4, 30], [-30, -10], [5, 30]])
def test_a_scan_without_an_energy_for_each_is_refused(bounds):
    with pytest.raises(SettingsError, match=r"anchors: the scan covers .* S K edge"):
        anchors_for("S K", regions(E0, bounds, [1], 1))


@pytest.mark.parametrize("energies", [(2475.0, 2460.0), (-1.0, 2460.0), (2460.0, float("nan")), (2460.0, 2460.1)])
def test_anchors_in_the_wrong_order_are_refused(energies):
    with pytest.raises(SettingsError, match="one energy below the edge"):
        Anchor(*energies)


def test_a_request_gets_the_anchors_once_and_in_mono_order():
    anchor = Anchor(2460.0, 2475.0)
    request = ScanRequest([2472.0, 2475.04, 2480.0], [0.5, 0.6, 0.7])
    assert anchor.added_to(request).energy.tolist() == [2460.0, 2472.0, 2475.0, 2480.0]
    assert anchor.added_to(request).dwell.tolist() == [0.7, 0.5, 0.7, 0.7]
    assert anchor.added_to(request, dwell=2.0).dwell.tolist() == [2.0, 0.5, 2.0, 0.7]
    again = anchor.added_to(anchor.added_to(request))
    assert again.energy.tolist() == anchor.added_to(request).energy.tolist()


def test_sweeps_are_told_apart_where_the_energy_goes_back():
    up = [2460.0, 2472.0, 2475.0]
    assert sweeps_of(np.array([*up, *up, 2480.0, 2460.0])).tolist() == [0, 0, 0, 1, 1, 1, 1, 2]
    assert sweeps_of(np.array([2460.0, 2459.98, 2460.01, 2472.0])).tolist() == [0, 0, 0, 0]  # readbacks scatter
    assert sweeps_of(np.array([2460.0, 2475.0, np.nan, 2460.0])).tolist() == [0, 0, 0, 1]
    assert sweeps_of(np.array([])).tolist() == []
