import json
from dataclasses import asdict, fields

import numpy as np
import pytest

from xas_bluesky.comparison import Gap
from xas_bluesky.errors import SettingsError

ENERGY = np.arange(2440.0, 2520.0, 0.1)
IONIZATION = 2480.0


def test_the_shipped_gap_is_complete_and_positive():
    gap = Gap.load()
    assert all(np.all(np.array(getattr(gap, field.name)) >= 0) for field in fields(gap) if field.name != "shift")
    assert gap.fine_sd > 0
    assert gap.shift_sd > 0


def test_a_gap_comes_back_from_its_file(tmp_path):
    gap = Gap(shift=1.25, widths=(1.0, 2.0), fine_sd=0.03)
    path = tmp_path / "gap.json"
    path.write_text(json.dumps({"gap": asdict(gap)}))
    assert Gap.load(path) == gap


@pytest.mark.parametrize("text", ["", "{}", '{"gap": {"shift": "far"}}', '{"gap": 3}', "[1]"])
def test_a_file_that_is_no_gap_is_named(tmp_path, text):
    path = tmp_path / "gap.json"
    path.write_text(text)
    with pytest.raises(SettingsError, match=r"gap\.json: cannot be read as a fitted gap .*; make it again by training"):
        Gap.load(path)


def test_a_missing_gap_is_named(tmp_path):
    with pytest.raises(SettingsError, match=r"nowhere\.json: cannot be read"):
        Gap.load(tmp_path / "nowhere.json")


def spread(gap: Gap, mean) -> np.ndarray:
    return np.sqrt((gap.features(ENERGY, mean, IONIZATION) ** 2).sum(axis=0))


def test_the_strength_of_peaks_is_uncertain_where_there_is_absorption():
    gap = Gap(warp_sd=0.0, smooth_sd=0.0, floor_sd=0.0, strength_sd=0.25)
    mean = np.exp(-0.5 * ((ENERGY - 2476.0) / 1.0) ** 2)
    assert np.allclose(spread(gap, mean), 0.25 * mean, rtol=0.05, atol=1e-6)


def test_peaks_move_only_where_the_spectrum_is_steep():
    gap = Gap(warp_sd=0.4, smooth_sd=0.0, floor_sd=0.0, strength_sd=0.0)
    mean = np.exp(-0.5 * ((ENERGY - 2476.0) / 1.0) ** 2)
    assert np.allclose(spread(gap, mean), 0.4 * np.abs(np.gradient(mean, ENERGY)), rtol=0.05, atol=1e-6)


def test_the_additive_error_rises_from_the_floor_at_the_onset_and_falls_back_far_above_the_edge():
    gap = Gap(warp_sd=0.0, strength_sd=0.0, smooth_sd=0.2, floor_sd=0.02, onset=6.0, reach=12.0)
    found = spread(gap, np.zeros_like(ENERGY))
    assert found[(ENERGY > 2467) & (ENERGY < 2469)] == pytest.approx(0.02, rel=0.1)
    assert found[(ENERGY > 2479) & (ENERGY < 2482)] == pytest.approx(0.2, rel=0.15)
    assert found[(ENERGY > 2514) & (ENERGY < 2519)] == pytest.approx(0.02, rel=0.1)


def test_only_sulfur_has_a_fitted_gap():
    assert Gap.for_edge("s_k") == Gap.load()
    unknown = Gap.for_edge("O K")
    assert (unknown.shift, unknown.shift_sd) == (0.0, 2.0)
    assert Gap.doubts("S K") == []
    assert "not known there" in Gap.doubts("O K")[0]
