from types import SimpleNamespace

import numpy as np
import pytest

from xas_bluesky.config import Mono
from xas_bluesky.decision import ScanRequest
from xas_bluesky.errors import SettingsError
from xas_bluesky.plans.limits import limits_of, reachable, within

SCAN = ScanRequest(np.arange(2460.0, 2480.0), np.ones(20))


@pytest.mark.parametrize(
    ("device", "mono", "limits"),
    [
        (None, Mono(), (0.0, float("inf"))),
        ((0, 0), Mono(low=2450.0), (2450.0, float("inf"))),
        ((2400.0, 2500.0), Mono(), (2400.0, 2500.0)),
        ((2400.0, 2500.0), Mono(low=2450.0, high=2600.0), (2450.0, 2500.0)),
    ],
)
def test_limits_are_those_of_device_and_settings(device, mono, limits):
    axis = SimpleNamespace() if device is None else SimpleNamespace(limits=device)
    assert limits_of(axis, mono) == limits


def test_limits_without_anything_in_common_are_said():
    with pytest.raises(SettingsError, match="nothing in common"):
        limits_of(SimpleNamespace(limits=(2400.0, 2500.0)), Mono(low=8000.0))


def test_a_request_is_cut_to_the_limits():
    assert within(SCAN, (2465.0, 2468.0)).energy.tolist() == [2465.0, 2466.0, 2467.0, 2468.0]
    assert within(SCAN, (2500.0, 2600.0)) is None
    with pytest.raises(SettingsError, match=r"the scan, 2460\.0 to 2479\.0 eV, lies outside 2500 to 2600 eV"):
        reachable(SCAN, (2500.0, 2600.0))
