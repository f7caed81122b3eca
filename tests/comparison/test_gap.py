import json
from dataclasses import asdict, fields, replace

import numpy as np
import pytest

from xas_bluesky.comparison import Gap
from xas_bluesky.errors import SettingsError

ENERGY = np.arange(2440.0, 2520.0, 0.1)
IONIZATION = 2480.0


def test_the_shipped_gap_is_complete_and_positive():
    gap = Gap.load()
    signed = ("shift", "learned")
    assert all(np.all(np.array(getattr(gap, field.name)) >= 0) for field in fields(gap) if field.name not in signed)
    assert gap.learned
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


def test_learned_directions_move_peaks_and_change_their_strength():
    move, strengthen = np.zeros(34), np.zeros(34)
    move[5:12], strengthen[22:29] = 0.1, 0.1
    mean = np.exp(-0.5 * ((ENERGY - 2474.4) / 0.5) ** 2)
    nothing = replace(Gap.of_theory("S K"), warp_sd=0.0, strength_sd=0.0, smooth_sd=0.0, floor_sd=0.0, blur_sd=0.0)
    gap = replace(nothing, learned=(tuple(move), tuple(strengthen)), learned_size=2.0)
    moved, stronger = gap.features(ENERGY, mean, IONIZATION)
    amount = 2.0 * 0.1 * np.sqrt(2 * np.pi)
    assert moved == pytest.approx(amount * np.gradient(mean, ENERGY), abs=0.04)
    assert stronger == pytest.approx(amount * mean, abs=0.04)
    assert nothing.features(ENERGY, mean, IONIZATION).shape == (0, len(ENERGY))


def test_directions_of_different_lengths_are_refused():
    with pytest.raises(SettingsError, match=r"learned directions of \[2, 4\] numbers; give each the same even number"):
        Gap(learned=((1.0, 2.0), (1.0, 2.0, 3.0, 4.0)))


def test_an_unknown_resolution_is_the_change_that_a_wider_gaussian_makes():
    gap = replace(Gap.of_theory("S K"), warp_sd=0.0, strength_sd=0.0, smooth_sd=0.0, floor_sd=0.0, blur_sd=0.05)

    def peak(variance: float):
        return np.exp(-0.5 * (ENERGY - 2474.0) ** 2 / variance) / np.sqrt(variance)

    (feature,) = gap.features(ENERGY, peak(1.0), IONIZATION)
    assert feature == pytest.approx(peak(1.05) - peak(1.0), abs=0.002)


def test_only_sulfur_has_a_fitted_gap():
    assert Gap.for_edge("s_k") == Gap.load()
    unknown = Gap.for_edge("O K")
    assert (unknown.shift, unknown.shift_sd) == (0.0, 2.0)
    assert Gap.doubts("S K") == []
    assert Gap.doubts("O K") == [
        "edge 'O K': the gap between theory and experiment is not known there; energies may be 2 eV off"
    ]


def test_copper_may_lie_8_ev_off_and_its_doubts_say_what_to_trust():
    gap = Gap.for_edge("Cu K")
    assert (gap.shift, gap.shift_sd) == (0.0, 8.0)
    assert np.isfinite(gap.features(np.arange(8960.0, 9140.0, 0.2), np.ones(900), 8990.0)).all()
    unknown, told = Gap.doubts("Cu K")
    assert unknown.endswith("energies may be 8 eV off")
    assert told.endswith("trust the oxidation state and the coordination, not the compound")


def test_a_beamline_that_measured_its_shift_is_believed():
    gap = Gap.for_edge("S K", (-1.5, 0.2))
    assert gap == replace(Gap.load(), shift=-1.5, shift_sd=0.2)
    assert not any("off" in doubt for doubt in Gap.doubts("O K", (-1.5, 0.2)))
    for wrong in (0.0, -1.0, float("nan")):
        with pytest.raises(SettingsError, match=r"edge 'S K': the shift's standard deviation is .*; give one above 0"):
            Gap.for_edge("S K", (0.0, wrong))


def test_only_fluorescence_is_flattened_by_self_absorption():
    gap = Gap()
    assert gap.for_signal("transmission").reabsorptions == gap.for_signal("electron_yield").reabsorptions == (0.0,)
    assert gap.for_signal("fluorescence") == gap.for_signal("mu") == gap
    assert len(gap.for_signal("transmission").distortions()) == len(gap.widths)


@pytest.mark.parametrize("gap", [Gap.load(), Gap.of_theory("C K"), Gap(shift=1 / 3, learned=((0.1, 1e-17),))])
def test_a_record_holds_a_gap_exactly(gap):
    assert Gap.from_json(gap.to_json()) == gap


@pytest.mark.parametrize("text", ["", "[1]", '{"shift": "far"}', '{"widths": 3}'])
def test_a_record_that_holds_no_gap_says_so(text):
    with pytest.raises(SettingsError, match=r"not a gap as `Gap.to_json` writes it"):
        Gap.from_json(text)
