import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from larch import Group
from larch.xafs import fluo_corr

from xas_bluesky.edges import find_edge
from xas_bluesky.errors import EdgeError, SpectrumError
from xas_bluesky.reduction.self_absorption import concentrated, damping

ANGLES = st.floats(1, 90)
FORMULAS = st.sampled_from(["Fe", "FeS2", "Fe2O3", "Fe0.01SiO2", "FeSO4(H2O)7"])


def larch_damping(formula: str, edge: str, line: str, incidence: float, exit_: float) -> float:
    """Read the damping off xraylarch's correction of a weak bump above a bare edge."""
    absorber, level = edge.split()
    e0 = find_edge(edge).energy
    energy = np.concatenate(
        [np.arange(e0 - 200, e0 - 20, 5), np.arange(e0 - 20, e0 + 80, 0.5), np.arange(e0 + 80, e0 + 500, 4)]
    )
    bump = 1e-4 * np.exp(-(((energy - e0 - 50) / 10) ** 2))
    bare = 0.5 + np.arctan((energy - e0) / 0.01) / np.pi
    windows = {"e0": e0, "pre1": -190, "pre2": -50, "norm1": 110, "norm2": 490, "nnorm": 0}
    corrected: list[np.ndarray] = []
    for mu in (bare, bare + bump):
        group = Group()
        fluo_corr(energy, mu, formula, absorber, group=group, edge=level, line=line, anginp=incidence, angout=exit_, **windows)
        corrected.append(group.norm_corr)
    return 1 - bump.max() / (corrected[1] - corrected[0]).max()


@pytest.mark.parametrize(
    ("formula", "edge", "line"),
    [
        ("Cu", "Cu K", "Ka"),
        ("FeS2", "Fe K", "Ka"),
        ("FeS2", "S K", "Ka"),
        ("C3H7NO2S", "S K", "Ka"),
        ("CuSO4(H2O)5", "Cu K", "Ka"),
        ("Fe0.001SiO2", "Fe K", "Ka"),
        ("PtO2", "Pt L3", "La"),
    ],
)
@pytest.mark.parametrize("angles", [(45, 45), (10, 80), (80, 10)])
def test_as_xraylarch(formula: str, edge: str, line: str, angles: tuple[float, float]) -> None:
    # not closer: xraylarch takes what the other elements absorb less, over the 20 eV about the edge, off the edge's step
    assert damping(formula, edge, *angles) == pytest.approx(larch_damping(formula, edge, line, *angles), abs=0.01)


def test_copper_is_damped_and_traces_are_not() -> None:
    assert 0.65 < damping("Cu", "Cu K", 45, 45) < 0.8
    assert damping("Fe0.001SiO2", "Fe K", 45, 45) < 0.005
    assert concentrated("Fe0.001SiO2", "Fe K", 45, 45) is None
    assert concentrated("FeS2", "Fe_k", 45, 45) == (
        "over-absorption: fluorescence of a thick sample of FeS2 damps fine structure at Fe K by 42 %; "
        "measure transmission, dilute the sample, or correct for it"
    )


@settings(deadline=None)  # the first call opens xraydb
@given(formula=FORMULAS, incidence=ANGLES, exit_=ANGLES)
def test_grazing_exit_and_dilution_damp_less(formula: str, incidence: float, exit_: float) -> None:
    share = damping(formula, "Fe K", incidence, exit_)
    assert 0 < share < 1
    assert damping(formula, "Fe K", incidence, exit_ / 2) < share
    assert damping(formula + "(SiO2)20", "Fe K", incidence, exit_) < share
    assert damping(f"({formula})3", "Fe K", incidence, exit_) == pytest.approx(share)


@pytest.mark.parametrize("formula", ["", "pyrite", "Fe(1-x)S", "Fe(", "CuSO4·5H2O", "12"])
def test_a_formula_that_is_none_is_refused(formula: str) -> None:
    with pytest.raises(
        SpectrumError, match=r"the sample's formula .* cannot be read; give elements and amounts, as in 'FeS2'"
    ):
        damping(formula, "Fe K", 45, 45)


@pytest.mark.parametrize("formula", ["SiO2", "Fe0SiO2"])
def test_a_formula_without_the_absorber_is_refused(formula: str) -> None:
    with pytest.raises(SpectrumError, match=f"formula '{formula}' holds no Fe, but the scan is at Fe K"):
        damping(formula, "Fe K", 45, 45)


def test_an_unknown_edge_is_refused() -> None:
    with pytest.raises(EdgeError, match="xraydb knows no such edge"):
        damping("FeS2", "Fe Q", 45, 45)
