import numpy as np
import pytest

from xas_bluesky.decision.scan_request import ScanRequest, regions, widest_gaps
from xas_bluesky.errors import SettingsError


def test_regions_of_the_conventional_scan():
    request = regions(2472.0, [-30, -10, 30, 45], [2, 0.2, 1], 1)
    assert len(request) == 10 + 200 + 15 + 1
    relative = request.energy - 2472.0
    assert np.allclose(relative[:11], np.arange(-30, -9, 2))
    assert np.allclose(relative[10:211], np.linspace(-10, 30, 201))
    assert np.allclose(relative[210:], np.arange(30, 46))
    assert np.all(request.dwell == 1.0)


def test_each_region_has_its_time_and_the_bound_belongs_to_the_region_above():
    request = regions(7112.0, [-20, 0, 10], [10, 5], [0.5, 2])
    assert (request.energy - 7112.0).tolist() == [-20, -10, 0, 5, 10]
    assert request.dwell.tolist() == [0.5, 0.5, 2, 2, 2]


def test_a_step_that_does_not_divide_its_region_ends_with_a_shorter_one():
    assert np.allclose(regions(100.0, [0, 1], [0.4], 1).energy, [100, 100.4, 100.8, 101])


def test_words_and_steps_in_k():
    request = regions(8979.0, "-200 -30 -10 25 12k", "10 2 0.3 0.05k", "0.5 0.5 1 0.25k")
    relative = request.energy - 8979.0
    k = np.sqrt(0.2624683 * relative[relative >= 25])
    assert k[0] == pytest.approx(np.sqrt(0.2624683 * 25))
    assert np.allclose(np.diff(k)[:-1], 0.05)
    assert 0 < np.diff(k)[-1] <= 0.05 + 1e-9
    assert k[-1] == pytest.approx(12.0)
    assert np.allclose(request.dwell[relative >= 25], 0.25 * k)
    assert request.dwell[:17].tolist() == [0.5] * 17
    listed = regions(8979.0, [-200, -30, -10, 25, "12k"], [10, 2, 0.3, "0.05k"], [0.5, 0.5, 1, "0.25k"])
    assert np.array_equal(listed.energy, request.energy)
    assert np.array_equal(
        regions(8979.0, "-10, 2k", ["1"], "0.5").energy, regions(8979.0, [-10, 4 / 0.2624683], 1, 0.5).energy
    )


@pytest.mark.parametrize(
    ("bounds", "steps", "times", "message"),
    [
        ([-30, 30], [1, 1], 1, r"2 bounds, 2 steps and 2 times"),
        ([-30, 0, 30], [1, 1], [1, 1, 1], r"3 bounds, 2 steps and 3 times"),
        ([0], [], 1, r"1 bounds, 0 steps"),
        ([-30, 30, 30], [1, 1], 1, r"must increase"),
        ([-30, 30], [0], 1, r"steps \[0.0\] must be positive"),
        ([-30, 30], [1], -1, r"times \[-1.0\] must be positive"),
        ([-30, float("nan")], [1], 1, r"bounds .* finite"),
        (["-30", "12q"], [1], 1, r"bounds .* must be numbers; '12q' is none, expected .* as in bounds=\"-200 -30"),
        ("-30 -2k 30", [1, 1], 1, r"bounds: -2k is below the edge"),
        ("-30 30", "0.5k", 1, r"steps: 0.5k begins -30 eV from the edge"),
        ("0 30", "1", "0.5k", r"times: 0.5k is no time at 0 eV from the edge"),
        ("-30 30", "one", 1, r"steps 'one' must be numbers; 'one' is none, .* as in steps="),
        ("-30 30", "1", "", r"2 bounds, 1 steps and 0 times"),
    ],
)
def test_wrong_regions_are_named(bounds, steps, times, message):
    with pytest.raises(SettingsError, match=message):
        regions(2472.0, bounds, steps, times)


@pytest.mark.parametrize(
    ("energy", "dwell", "message"),
    [
        ([], [], "at least one"),
        ([1, 2], [1], "one dwell per energy"),
        ([2, 1], [1, 1], "increasing"),
        ([1, 1], [1, 1], "increasing"),
        ([-1, 1], [1, 1], "positive"),
        ([1, np.inf], [1, 1], "finite"),
        ([1, 2], [1, 0], "dwell"),
        ([1, 2], [1, np.nan], "dwell"),
    ],
)
def test_wrong_requests_are_refused(energy, dwell, message):
    with pytest.raises(SettingsError, match=message):
        ScanRequest(energy, dwell)


def test_a_request_does_not_change_with_its_source():
    energy = np.array([1.0, 2.0])
    request = ScanRequest(energy, np.ones(2))
    energy[0] = 99.0
    assert request.energy[0] == 1.0
    with pytest.raises(ValueError, match="read-only"):
        request.energy[0] = 5.0


SCAN = ScanRequest(np.arange(100.0, 111.0), np.arange(1.0, 12.0))


def test_widest_gaps_are_farthest_from_what_was_measured_and_from_each_other():
    chosen = widest_gaps(SCAN, [100.0, 110.0], 3)
    assert chosen is not None
    assert chosen.energy[1] == 105.0
    assert chosen.dwell[1] == 6.0
    assert chosen.energy[0] in (102.0, 103.0)
    assert chosen.energy[2] in (107.0, 108.0)


def test_a_readback_near_its_setpoint_is_no_gap():
    assert widest_gaps(SCAN, (SCAN.energy + 0.03).tolist(), 3) is None
    rest = widest_gaps(SCAN, (SCAN.energy[:-1] - 0.03).tolist(), 3)
    assert rest is not None
    assert rest.energy.tolist() == [110.0]


def test_gaps_are_filled_until_the_scan_is_complete():
    measured: list[float] = []
    while (request := widest_gaps(SCAN, measured, 4)) is not None:
        assert 1 <= len(request) <= 4
        measured.extend(request.energy)
    assert sorted(measured) == SCAN.energy.tolist()


def test_nothing_measured_leaves_the_whole_scan():
    whole = widest_gaps(SCAN, [], 99)
    assert whole is not None
    assert np.array_equal(whole.energy, SCAN.energy)
    assert np.array_equal(whole.dwell, SCAN.dwell)


def test_no_points_are_no_request():
    assert widest_gaps(SCAN, [], 0) is None
