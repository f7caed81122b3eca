import math

import pytest

from xas_bluesky.beamline_sim import BeamlineSettings
from xas_bluesky.errors import SettingsError


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("mode", "reflection"),
        ("flux", 0),
        ("flux", -1e9),
        ("flux", math.nan),
        ("edge_step", 0),
        ("background_ratio", -0.1),
        ("dark_rate", -1),
        ("energy_offset", math.inf),
        ("energy_drift", math.nan),
        ("i0_drift", math.inf),
        ("backlash", -0.1),
        ("travel", -1),
        ("resolution", -1),
        ("speed", 0),
        ("settle", -1),
        ("time_scale", -1),
        ("seed", -1),
        ("beam_dump", (-1, None)),
        ("beam_dump", (1, 0)),
    ],
)
def test_a_value_out_of_range_is_named(name, value):
    with pytest.raises(SettingsError, match=name):
        BeamlineSettings(**{name: value})


@pytest.mark.parametrize(
    ("start", "seconds", "expected"),
    [(0, 5, 5), (8, 4, 2), (8, 20, 15), (10, 5, 0), (12, 5, 2), (15, 5, 5)],
)
def test_beam_seconds_leave_out_the_dump(start, seconds, expected):
    assert BeamlineSettings(beam_dump=(10, 5)).beam_seconds(start, seconds) == expected


@pytest.mark.parametrize(("start", "expected"), [(0, 5), (8, 2), (20, 0)])
def test_a_beam_dump_without_duration_lasts(start, expected):
    assert BeamlineSettings(beam_dump=(10, None)).beam_seconds(start, 5) == expected
