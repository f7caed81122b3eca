import numpy as np
import pytest

from xas_bluesky.config import Energy
from xas_bluesky.documents.units import to_energy
from xas_bluesky.errors import SpectrumError

SI111 = 3.1356
"""Å"""
COPPER = np.degrees(np.arcsin(12398.419843320026 / (2 * SI111 * 8979.0)))


@pytest.mark.parametrize("unit", ["keV", "kev", " KEV ", "kiloelectronvolt", "kiloelectron_volt"])
def test_units_by_the_names_that_beamlines_give(unit):
    assert to_energy(np.array([8.979]), Energy(), unit, None) == pytest.approx([8979.0])


@pytest.mark.parametrize(("unit", "scale"), [("deg", 1), ("degrees", 1), ("°", 1), ("mdeg", 1e3), ("radian", np.pi / 180)])
def test_bragg_angles(unit, scale):
    assert to_energy(np.array([COPPER * scale]), Energy(), unit, SI111) == pytest.approx([8979.0])


def test_the_edge_of_copper_lies_at_12_7_degrees_of_silicon():
    assert pytest.approx(12.7, abs=0.05) == COPPER


def test_what_is_declared_goes_before_what_the_documents_say():
    declared = Energy(unit="deg", d_spacing=SI111, angle_offset=0.5, scale=1e-3)
    assert to_energy(np.array([(COPPER - 0.5) * 1e3]), declared, "mm", 1.0) == pytest.approx([8979.0])


def test_angles_that_reflect_nothing_are_no_energies():
    found = to_energy(np.array([0.0, -3.0, np.nan, COPPER]), Energy(), "deg", SI111)
    np.testing.assert_array_equal(np.isnan(found), [True, True, True, False])


@pytest.mark.parametrize(
    ("value", "described", "message"),
    [
        (8979.0, "mm", "the energies are in 'mm'; give .*'keV'"),
        (8.979, None, r"\(8.979 …\) have no unit and are too low for eV"),
        (8.979, "", "have no unit"),
        (12.7, "deg", "angles in deg; give the crystal's .*d_spacing"),
    ],
)
def test_what_cannot_be_converted_is_said(value, described, message):
    with pytest.raises(SpectrumError, match=message):
        to_energy(np.array([value]), Energy(), described, None)


def test_energies_that_are_not_known_yet_need_no_unit():
    assert np.isnan(to_energy(np.array([np.nan]), Energy(), None, None)).all()
    assert to_energy(np.array([]), Energy(), None, None).shape == (0,)
