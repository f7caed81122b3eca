"""Panels drawn from a measured spectrum: what the lines hold, what is marked, and what stays in grey."""

from dataclasses import replace

import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import same_color
from matplotlib.figure import Figure

from xas_bluesky.demo import known_sample
from xas_bluesky.live.panels import GREY, Panels, same_subject
from xas_bluesky.reduction import normalize
from xas_bluesky.spectra import Absorption, ReducedScan, Spectrum

MEASURED = known_sample()
MU = MEASURED.channels["mu"]
WHOLE = len(MU)


def scan(points=WHOLE, *, uid="3f2a9c1e-77aa", sample="sulfone", flags=None, left_out=(), spike=(), **detectors):
    """The first `points` of methionine sulfone as measured; `detectors`: i0, dwell, and the foil's mu as reference."""
    energy, mu = MEASURED.energy[:points], MU[:points].copy()
    mu[list(spike)] = np.nan
    variance = np.full(points, 1e-6)
    variance[list(left_out)] = np.inf
    marked = {reason: np.isin(np.arange(points), indices) for reason, indices in (flags or {}).items()}
    absorption = Absorption(energy, mu, variance, "transmission", "unknown", marked)
    foil = detectors.pop("reference", None)
    return ReducedScan(
        spectrum=Spectrum(energy, {"mu": mu, **detectors}, {"uid": uid, "sample": sample, "edge": "S K"}),
        absorption=absorption,
        reference=None if foil is None else Absorption(energy, foil, variance),
        reference_e0=None,
        shift=0.0,
        normalized=normalize(absorption) if points == WHOLE else None,
        stage="whole" if points == WHOLE else "below the edge",
        unknown={},
        remarks=(),
    )


@pytest.fixture
def panels():
    figure = Figure()
    FigureCanvasAgg(figure)
    return Panels(figure)


def lines(panels, panel=0):
    """The lines of one panel as drawn: the earlier scans', the current one's, and the marks."""
    panels.figure.canvas.draw()
    return panels.figure.axes[panel].lines


def test_a_partial_scan_is_drawn_raw(panels):
    panels.draw(scan(40), [])
    _, current = lines(panels)
    np.testing.assert_array_equal(current.get_xdata(), MEASURED.energy[:40])
    np.testing.assert_array_equal(current.get_ydata(), MU[:40])
    assert panels.figure.axes[0].get_ylabel() == "raw mu, transmission"
    assert panels.figure.axes[0].get_xlabel() == "energy / eV"
    assert panels.figure.get_suptitle() == "sulfone · S K edge · scan 3f2a9c1e · 40 points · below the edge"


def test_a_whole_scan_is_drawn_normalized(panels):
    whole = scan()
    panels.draw(scan(40), [])
    panels.draw(whole, [])
    _, current = lines(panels)
    np.testing.assert_allclose(current.get_ydata(), whole.normalized.norm, atol=1e-9)
    assert panels.figure.axes[0].get_ylabel() == "mu / edge step"


def test_points_in_any_order_are_drawn_by_energy(panels):
    order = np.random.default_rng(0).permutation(40)
    partial = scan(40)
    scattered = Absorption(partial.absorption.energy[order], partial.absorption.mu[order], np.full(40, 1e-6))
    panels.draw(replace(partial, absorption=scattered, stage="scattered"), [])
    _, current = lines(panels)
    np.testing.assert_array_equal(current.get_xdata(), MEASURED.energy[:40])
    np.testing.assert_array_equal(current.get_ydata(), MU[:40])


def test_flagged_points_are_marked_and_the_legend_says_why(panels):
    flags = {"glitch window": [10, 11], "harmonics": [11, 20]}
    panels.draw(scan(40, flags=flags, left_out=[10, 11]), [])
    _, current, glitch, lost_harmonic, harmonic = lines(panels)
    assert not set(MEASURED.energy[[10, 11]]) & set(current.get_xdata())
    assert len(current.get_xdata()) == 38
    np.testing.assert_array_equal(glitch.get_xdata(), MEASURED.energy[[10, 11]])
    np.testing.assert_array_equal(lost_harmonic.get_xdata(), MEASURED.energy[[11]])
    np.testing.assert_array_equal(harmonic.get_xdata(), MEASURED.energy[[20]])
    np.testing.assert_array_equal(harmonic.get_ydata(), MU[[20]])
    assert [line.get_marker() for line in (glitch, lost_harmonic, harmonic)] == ["x", "x", "o"]
    assert harmonic.get_markerfacecolor() == "none"
    assert same_color(harmonic.get_color(), lost_harmonic.get_color())
    assert not same_color(harmonic.get_color(), glitch.get_color())
    legend = [text.get_text() for text in panels.figure.axes[0].get_legend().get_texts()]
    assert legend == ["glitch window: 2 left out", "harmonics: 1 left out", "harmonics: 1 suspect"]
    panels.draw(scan(40), [])
    assert len(lines(panels)) == 2
    assert panels.figure.axes[0].get_legend() is None


def test_a_point_without_a_value_is_marked_within_the_panel(panels):
    panels.draw(scan(40, flags={"no i0": [30]}, left_out=[30], spike=[30]), [])
    _, current, lost = lines(panels)
    assert lost.get_ydata() == min(current.get_ydata())


@pytest.mark.parametrize("points", [0, 1, 2])
def test_a_scan_that_has_only_begun_is_drawn(panels, points):
    panels.draw(scan(points, flags={"no i0": list(range(points))}, left_out=range(points), i0=np.ones(points)), [])
    _, current, *_ = lines(panels)
    assert len(current.get_xdata()) == 0
    assert f"· {points} points ·" in panels.figure.get_suptitle()


def test_earlier_scans_stay_in_grey_in_the_units_of_the_current_one(panels):
    first, second = scan(uid="first"), scan(30, uid="second")
    panels.draw(scan(20), [first, second])
    earlier, _ = lines(panels)
    assert same_color(earlier.get_color(), GREY)
    drawn = earlier.get_ydata()
    np.testing.assert_array_equal(drawn[~np.isnan(drawn)], [*MU, *MU[:30]])
    assert np.isnan(drawn[len(MU)])
    panels.draw(scan(), [first, second])
    earlier, _ = lines(panels)
    drawn = earlier.get_ydata()
    np.testing.assert_allclose(drawn[~np.isnan(drawn)], first.normalized.norm, atol=1e-9)


def test_only_the_same_sample_and_edge_are_repeats():
    assert same_subject(scan(uid="one"), scan(20, uid="two"))
    assert not same_subject(scan(), scan(sample="thiol"))


def test_i0_and_the_reference_have_panels_only_where_they_were_measured(panels):
    panels.draw(scan(40), [])
    assert len(panels.figure.axes) == 1
    i0, dwell, foil = np.linspace(4e5, 3e5, 40), np.repeat([0.5, 1.0], 20), MU[:40] + 1
    calibrated = replace(scan(40, i0=i0, dwell=dwell, reference=foil), shift=0.5)
    panels.draw(calibrated, [scan(40)])
    _, counts = lines(panels, 1)
    np.testing.assert_allclose(counts.get_ydata(), i0 / dwell)
    _, reference = lines(panels, 2)
    np.testing.assert_array_equal(reference.get_ydata(), foil)
    np.testing.assert_array_equal(reference.get_xdata(), MEASURED.energy[:40] + 0.5)
    labels = [axes.get_ylabel() for axes in panels.figure.axes]
    assert labels == ["raw mu, transmission", "i0 / (counts/s)", "reference, raw mu"]
    panels.draw(scan(40, i0=i0), [calibrated])
    assert [axes.get_ylabel() for axes in panels.figure.axes] == ["raw mu, transmission", "i0 / counts"]
    rates, _ = lines(panels, 1)
    assert np.isnan(rates.get_ydata()).all()  # not comparable with counts


def test_what_the_user_zoomed_into_stays_while_points_come_in(panels):
    panels.draw(scan(20), [])
    wide = panels.figure.axes[0].get_xlim()
    panels.draw(scan(40), [])
    assert panels.figure.axes[0].get_xlim()[1] > wide[1]
    panels.figure.axes[0].set_xlim(2450, 2460)
    panels.draw(scan(60), [])
    assert panels.figure.axes[0].get_xlim() == (2450, 2460)


def test_remarks_stand_above_the_panels(panels):
    panels.draw(replace(scan(), remarks=("over-absorption", "3 points missing")), [])
    assert panels.figure.axes[0].get_title() == "over-absorption\n3 points missing"
