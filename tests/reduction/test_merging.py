from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from larch import Group
from larch.io.mergegroups import merge_groups

from xas_bluesky.errors import SpectrumError
from xas_bluesky.files import read_spectrum
from xas_bluesky.reduction import MergedScans, Signal, absorption, merge
from xas_bluesky.spectra import Absorption, Array

REPEATS = Path(__file__).parents[1] / "data" / "measured" / "merging"
few = settings(max_examples=10, deadline=None)
ENERGY = np.concatenate([np.arange(6960, 7090, 5.0), np.arange(7090, 7150, 0.4), np.arange(7150, 7400, 2.0)])


def measured(signal: Signal = "transmission") -> list[Absorption]:
    return [absorption(read_spectrum(REPEATS / f"Ni2O3_rt_0{number}.xdi"), signal) for number in (1, 2, 3)]


def truth(energy: Array, white_line: float = 0.4) -> Array:
    """Made to look like iron."""
    x = energy - 7120
    above = np.clip(x, 0, None)
    mu = 2.2 - 2e-4 * x + 1.3 * (0.5 + np.arctan(x / 1.2) / np.pi) + white_line * np.exp(-(((x - 9) / 5) ** 2))
    return mu + 0.1 * np.sin(0.9 * np.sqrt(above)) * np.exp(-above / 200)


def repeat(
    seed: int, *, noise: float = 2e-3, shift: float = 0.0, energy: Array = ENERGY, white_line: float = 0.4
) -> Absorption:
    """A repeat whose energies need `shift` added to be right."""
    mu = truth(energy, white_line) + np.random.default_rng(seed).normal(0, noise, len(energy))
    return Absorption(energy - shift, mu, np.full(len(energy), noise**2), "transmission", "photons")


def without(source: Absorption, left_out: Array) -> Absorption:
    return replace(source, variance=np.where(left_out, np.inf, source.variance))


def assert_same(ours: MergedScans, other: MergedScans, *, shift: float = 0.0, scale: float = 1.0) -> None:
    np.testing.assert_allclose(ours.absorption.energy + shift, other.absorption.energy, rtol=0, atol=1e-6)
    tolerance = 1e-6 * scale * float(np.ptp(ours.absorption.mu))
    np.testing.assert_allclose(scale * ours.absorption.mu, other.absorption.mu, rtol=0, atol=tolerance)
    np.testing.assert_allclose(scale**2 * ours.absorption.variance, other.absorption.variance, rtol=1e-3)


def misfit(merged: MergedScans, near: float = 40.0) -> Array:
    """What is left of the difference to the truth, scale, offset and slope free."""
    energy, mu = merged.absorption.energy, merged.absorption.mu
    terms = np.stack([truth(energy), np.ones(len(energy)), energy - 7120], axis=1)
    return (mu - terms @ np.linalg.lstsq(terms, mu)[0])[np.abs(energy - 7120) < near]


def test_measured_repeats_drift_alike_by_sample_and_by_foil() -> None:
    by_sample, by_foil = merge(measured()), merge(measured(), references=measured("reference"))
    np.testing.assert_allclose(by_sample.shifts, [0.0, 0.29, 0.51], atol=0.02)
    np.testing.assert_allclose(by_foil.shifts, by_sample.shifts, atol=0.02)
    for merged in (by_sample, by_foil):
        np.testing.assert_array_equal(merged.absorption.energy, measured()[0].energy)
        assert merged.weights.sum() == pytest.approx(1)
        assert not merged.outlier.any()
        assert merged.reasons == ("", "", "")
        assert merged.absorption.noise == "repeats"
        assert "scatter 3." in merged.remarks[-1]


def test_measured_repeats_as_xraylarch() -> None:
    merged = merge(measured())
    aligned = [
        Group(energy=each.energy + shift, mu=np.array(each.mu)) for each, shift in zip(measured(), merged.shifts, strict=True)
    ]
    theirs = merge_groups(aligned)
    ours = np.interp(theirs.energy, merged.absorption.energy, merged.absorption.mu)
    terms = np.stack([ours, np.ones(len(ours)), theirs.energy - 8333], axis=1)  # theirs leaves each scan its offset
    left = (theirs.mu - terms @ np.linalg.lstsq(terms, theirs.mu)[0]) / np.ptp(ours)
    assert np.sqrt(np.mean(left**2)) < 2e-4
    assert np.abs(left).max() < 1e-3


@few
@given(st.floats(-0.6, 0.6), st.floats(-0.6, 0.6))
def test_shifts_between_repeats_are_found(second: float, third: float) -> None:
    merged = merge([repeat(0), repeat(1, shift=second), repeat(2, shift=third)])
    np.testing.assert_allclose(merged.shifts, [0, second, third], atol=0.05)
    assert np.sqrt(np.mean(misfit(merged) ** 2)) < 2e-3


def test_a_small_shift_of_a_measured_scan_is_found() -> None:
    scans = measured()
    moved = merge([scans[0], replace(scans[1], energy=scans[1].energy - 0.05), scans[2]])
    np.testing.assert_allclose(moved.shifts - merge(scans).shifts, [0, 0.05, 0], atol=0.002)


@few
@given(st.permutations(range(4)))
def test_order_only_decides_what_shifts_and_scale_are_relative_to(order: list[int]) -> None:
    scans = [repeat(i, shift=0.1 * i) for i in range(4)]
    merged, other = merge(scans), merge([scans[i] for i in order])
    first = order[0]
    np.testing.assert_allclose(other.shifts, merged.shifts[order] - merged.shifts[first], atol=0.01)
    np.testing.assert_allclose(other.weights, merged.weights[order], atol=0.02)
    if first == 0:
        assert_same(merged, other)


@few
@given(st.floats(1e-4, 1e4), st.floats(-3000, 3000))
def test_scale_of_mu_and_zero_of_energy_pass_through(scale: float, by: float) -> None:
    scans = [repeat(i, shift=0.1 * i) for i in range(3)]
    other = [Absorption(s.energy + by, scale * s.mu, scale**2 * s.variance, s.signal, s.noise) for s in scans]
    assert_same(merge(scans), merge(other), shift=by, scale=scale)


@few
@given(st.integers(1, 6), st.booleans())
def test_copies_give_the_scan_and_their_share_of_its_variance(k: int, align: bool) -> None:
    scan = measured()[0]
    merged = merge([scan] * k, align=align)
    np.testing.assert_allclose(merged.absorption.mu, scan.mu, rtol=0, atol=1e-9)
    np.testing.assert_allclose(merged.absorption.variance, scan.variance / k, rtol=1e-6)
    np.testing.assert_array_equal(merged.shifts, np.zeros(k))
    np.testing.assert_allclose(merged.weights, np.full(k, 1 / k))
    assert (merged.absorption.signal, merged.absorption.noise) == (scan.signal, scan.noise)
    assert not merged.remarks


@pytest.mark.parametrize("k", [2, 4, 8])
def test_noise_falls_as_the_variance_says(k: int) -> None:
    chi2 = []
    for trial in range(20):
        merged = merge([repeat(100 * trial + i, shift=0.05 * i) for i in range(k)])
        assert np.median(merged.absorption.variance) == pytest.approx(4e-6 / k, rel=0.05)
        chi2.append(np.mean(misfit(merged) ** 2) / (4e-6 / k))
    assert np.mean(chi2) == pytest.approx(1, abs=0.15)


def test_gains_and_backgrounds_that_differ_are_made_alike() -> None:
    scans = [repeat(i) for i in range(4)]
    gains = [
        replace(s, mu=gain * s.mu + offset + slope * (s.energy - 7120), variance=gain**2 * s.variance)
        for s, gain, offset, slope in zip(scans, (1, 0.1, 20, 3), (0, 2, -5, 0.3), (0, 1e-3, 0.02, -1e-3), strict=True)
    ]
    merged, other = merge(scans), merge(gains)
    np.testing.assert_allclose(other.absorption.mu, merged.absorption.mu, atol=1e-5)
    np.testing.assert_allclose(other.weights, np.full(4, 0.25), atol=0.01)
    assert other.remarks == ()


def test_a_scan_of_another_shape_is_named_and_left_out() -> None:
    scans = [repeat(i) for i in range(4)]
    merged = merge([*scans[:2], repeat(9, white_line=0.55), *scans[2:]])
    assert merged.outlier.tolist() == [False, False, True, False, False]
    assert merged.weights[2] == 0
    assert "its shape differs from the others' by" in merged.reasons[2]
    assert merged.reasons[0] == ""
    np.testing.assert_allclose(merged.absorption.mu, merge(scans).absorption.mu, atol=1e-9)


def test_a_scan_of_another_shape_may_come_first() -> None:
    scans = [repeat(i, shift=0.2 * i) for i in range(4)]
    merged = merge([repeat(9, white_line=1.0, energy=ENERGY + 0.1, noise=1e-4), *scans])
    assert merged.outlier.tolist() == [True, False, False, False, False]
    np.testing.assert_allclose(merged.shifts[1:], [0, 0.2, 0.4, 0.6], atol=0.05)
    np.testing.assert_allclose(merged.absorption.energy, scans[0].energy)


def test_a_shift_far_from_the_others_is_named() -> None:
    merged = merge([repeat(0), repeat(1, shift=2.0), repeat(2, shift=0.1), repeat(3, shift=0.2)])
    assert merged.outlier.tolist() == [False, True, False, False]
    assert "its shift is +1.8" in merged.reasons[1]
    assert merged.shifts[1] == pytest.approx(2.0, abs=0.05)


def test_one_glitch_makes_no_outlier() -> None:
    scans = [repeat(i) for i in range(4)]
    mu = scans[1].mu.copy()
    mu[100] += 0.5
    merged = merge([scans[0], replace(scans[1], mu=mu), *scans[2:]])
    assert not merged.outlier.any()
    assert merged.absorption.variance[100] > 100 * merge(scans).absorption.variance[100]


def test_of_two_scans_both_stay_and_their_difference_is_said() -> None:
    merged = merge([repeat(0), repeat(1, white_line=0.55)])
    assert not merged.outlier.any()
    np.testing.assert_allclose(merged.weights, [0.5, 0.5], atol=0.02)
    assert "of two it cannot be said which is off" in merged.remarks[-1]
    assert not merge([repeat(0), repeat(1)]).remarks


def test_variances_stated_too_small_are_widened_where_repeats_scatter() -> None:
    scans = [replace(repeat(i), variance=np.full(len(ENERGY), 1e-8)) for i in range(6)]
    merged = merge(scans)
    assert np.median(merged.absorption.variance) == pytest.approx(4e-6 / 6, rel=0.15)
    assert "scatter 20" in merged.remarks[0] or "scatter 19" in merged.remarks[0]
    assert merged.absorption.noise == "repeats"


def test_a_scan_that_was_stopped_counts_as_far_as_it_got() -> None:
    whole, stopped = repeat(0), repeat(1, energy=ENERGY[:120])
    for merged in (merge([whole, stopped]), merge([whole, without(repeat(1), np.arange(len(ENERGY)) >= 120)])):
        np.testing.assert_allclose(merged.absorption.energy, ENERGY)
        np.testing.assert_allclose(merged.absorption.variance[:115], 2e-6, rtol=0.05)
        np.testing.assert_allclose(merged.absorption.variance[125:], 4e-6, rtol=0.05)
        np.testing.assert_allclose(merged.absorption.mu[125:], whole.mu[125:], atol=1e-12)
        assert merged.weights[0] > 0.6


def test_the_scan_that_was_stopped_may_be_the_first() -> None:
    merged = merge([repeat(1, energy=ENERGY[:120]), repeat(0, shift=0.15)])
    assert merged.shifts[1] == pytest.approx(0.15, abs=0.05)
    assert len(merged.absorption) == pytest.approx(len(ENERGY), abs=1)
    assert "energies of other scans are added" in merged.remarks[0]
    assert np.abs(misfit(merged, 200)).max() < 0.01


def test_energies_of_a_finer_scan_are_added_and_none_are_made_up() -> None:
    fine = np.arange(7110, 7130, 0.1)
    coarse, finer = repeat(0, energy=ENERGY), repeat(1, energy=fine)
    merged = merge([coarse, finer], align=False)
    added = np.setdiff1d(merged.absorption.energy, ENERGY)
    assert len(added) > 100
    assert np.isin(added, fine).all()
    assert 1 / merged.absorption.variance.min() <= 2.01 / 4e-6
    assert (1 / merged.absorption.variance).sum() == pytest.approx((len(ENERGY) + len(fine)) / 4e-6, rel=0.02)
    np.testing.assert_allclose(merge([finer, coarse], align=False).absorption.energy[[0, -1]], ENERGY[[0, -1]])


def test_scans_without_structure_are_averaged_as_they_are() -> None:
    rng = np.random.default_rng(0)
    flat = [Absorption(ENERGY, 1 + rng.normal(0, 1e-2, len(ENERGY)), np.full(len(ENERGY), 1e-4)) for _ in range(3)]
    merged = merge(flat)
    np.testing.assert_array_equal(merged.shifts, np.zeros(3))
    assert not merged.outlier.any()
    assert sum("nothing tells its shift" in remark for remark in merged.remarks) == 2
    assert sum("its scale" in remark for remark in merged.remarks) == 2
    assert np.std(merged.absorption.mu) == pytest.approx(1e-2 / np.sqrt(3), rel=0.1)


def test_a_reference_without_an_edge_is_replaced_by_mu() -> None:
    scans, references = measured(), measured("reference")
    references[1] = replace(references[1], mu=np.ones(len(references[1])))
    merged = merge(scans, references=references)
    assert "scan 2: its reference tells no shift to that of scan" in merged.remarks[0]
    np.testing.assert_allclose(merged.shifts, [0.0, 0.29, 0.51], atol=0.02)


def test_flags_and_points_left_out_are_kept() -> None:
    glitch, dark, suspect = np.zeros((3, len(ENERGY)), dtype=bool)
    glitch[50], dark[60], suspect[70] = True, True, True
    first = replace(without(repeat(0), glitch | dark), flags={"glitch": glitch, "no beam": dark, "suspect": suspect})
    second = replace(without(repeat(1), dark), flags={"no beam": dark})
    merged = merge([first, second]).absorption
    np.testing.assert_array_equal(merged.energy, ENERGY)
    assert np.flatnonzero(~merged.usable).tolist() == [60]
    assert {reason: np.flatnonzero(flagged).tolist() for reason, flagged in merged.flags.items()} == {
        "no beam": [60],
        "suspect": [70],
    }
    assert merged.mu[60] == pytest.approx(truth(ENERGY)[60], abs=0.02)


def test_bad_points_do_not_spread() -> None:
    bad = repeat(0)
    energy, mu = bad.energy.copy(), bad.mu.copy()
    energy[3], mu[5] = np.nan, np.inf
    broken = without(Absorption(energy, mu, bad.variance, bad.signal, bad.noise), np.isin(np.arange(len(mu)), [3, 5]))
    merged = merge([broken, repeat(1)]).absorption
    assert np.isfinite(merged.energy).all()
    assert np.isfinite(merged.mu).all()


def test_a_scan_of_too_few_points_is_named_but_no_outlier() -> None:
    merged = merge([repeat(0), repeat(1, energy=ENERGY[:5]), repeat(2)])
    assert merged.weights[1] == 0
    assert not merged.outlier.any()
    assert merged.reasons[1] == "5 usable energies, at least 10 are needed"


def test_one_scan_is_returned_in_order() -> None:
    scan = repeat(0)
    mixed = np.random.default_rng(0).permutation(len(ENERGY))
    merged = merge([Absorption(scan.energy[mixed], scan.mu[mixed], scan.variance[mixed])])
    np.testing.assert_array_equal(merged.absorption.energy, scan.energy)
    np.testing.assert_allclose(merged.absorption.mu, scan.mu)
    np.testing.assert_allclose(merged.absorption.variance, scan.variance)
    assert merged.weights.tolist() == [1.0]


def test_what_cannot_be_merged_is_refused() -> None:
    scan = repeat(0)
    with pytest.raises(SpectrumError, match="no scans to merge"):
        merge([])
    with pytest.raises(SpectrumError, match="1 references for 2 scans"):
        merge([scan, scan], references=[scan])
    with pytest.raises(SpectrumError, match=r"scan 2 is fluorescence, scan 1 transmission"):
        merge([scan, replace(scan, signal="fluorescence")])
    with pytest.raises(SpectrumError, match=r"no scan to merge has 10 usable energies \(the most: 9\)"):
        merge([repeat(0, energy=ENERGY[:9])])
    with pytest.raises(SpectrumError, match=r"scan 2: .* variance not positive"):
        merge([scan, replace(scan, variance=np.zeros(len(scan)))])
