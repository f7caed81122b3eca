import numpy as np
import pytest
from scipy.special import voigt_profile

from xas_bluesky.errors import DatasetError, SettingsError
from xas_bluesky.spectra import FWHM, Array
from xas_bluesky.theory import broadening
from xas_bluesky.theory.broadening import DECAY, GROWTH, MEGABARN_EV, WIDTH, cross_sections, molecule_means

EDGE = {"jump": 0.09, "gaussian": 0.4, "lorentzian": 0.6}
GRID = np.linspace(2462, 2540, 300)
Sites = tuple[Array, Array, np.ndarray, Array]


@pytest.fixture(scope="module")
def sites() -> Sites:
    """Three sulfur-like absorbers: lines below the ionization energy, then ever more sticks above it."""
    random = np.random.default_rng(7)
    count = np.array([90, 120, 70])
    ionization = np.array([2477.61, 2478.93, 2483.17])
    energy = np.repeat(ionization, count) - 8 + 60 * np.sqrt(random.uniform(size=count.sum()))
    return energy, 10 ** random.uniform(-6, -2, count.sum()), count, ionization


def exact(grid: Array, energy: Array, strength: Array, jump: float, gaussian: float, lorentzian: float) -> Array:
    """The definition, summed stick by stick and integrated on a very fine grid, in energies above the ionization energy."""
    step, sigma, gamma = 0.005, gaussian / FWHM, lorentzian / 2

    def line(x: Array) -> Array:
        return voigt_profile(x, sigma, gamma)

    above = np.arange(0, 60, step)
    sigmas = ((WIDTH + GROWTH * above) / FWHM)[:, None]
    sticks, heights = energy[energy >= 0], strength[energy >= 0]
    folded = [
        np.exp(-(((above[:, None] + sign * sticks) / sigmas) ** 2) / 2) / (np.sqrt(2 * np.pi) * sigmas) for sign in (-1, 1)
    ]
    continuum = MEGABARN_EV * (sum(folded) @ heights)
    weight = np.exp(-((above / DECAY) ** 2))
    density = weight * (continuum - jump)
    density[0] /= 2
    far = np.arange(-300, grid.max() + step, step)
    risen = 0.5 - np.arctan(300 / gamma) / np.pi + step * (np.cumsum(line(far)) - line(far) / 2)
    below = MEGABARN_EV * line(grid[:, None] - energy[energy < 0]) @ strength[energy < 0]
    return below + step * line(grid[:, None] - above) @ density + jump * np.interp(grid, far, risen)


@pytest.mark.parametrize(("gaussian", "lorentzian"), [(0.4, 0.6), (1.5, 0.1), (0.1, 0.09), (0.02, 0.6)])
def test_the_exact_sum(sites: Sites, gaussian: float, lorentzian: float) -> None:
    energy, strength, count, ionization = sites
    found = cross_sections(GRID, *sites, jump=0.09, gaussian=gaussian, lorentzian=lorentzian)
    ends = np.cumsum(count)
    for site, (first, end) in enumerate(zip(ends - count, ends, strict=True)):
        relative = energy[first:end] - ionization[site]
        expected = exact(GRID - ionization[site], relative, strength[first:end], 0.09, gaussian, lorentzian)
        np.testing.assert_allclose(found[site], expected, rtol=0, atol=0.002 * expected.max())


def test_a_line_below_the_ionization_energy_keeps_its_area() -> None:
    grid = np.arange(1970, 2971, 0.05)
    stick = np.array([2470.123]), np.array([0.01]), np.array([1]), np.array([2478.0])
    found = cross_sections(grid, *stick, jump=1e-9, gaussian=0.4, lorentzian=0.6)[0]
    assert found.sum() * 0.05 == pytest.approx(MEGABARN_EV * 0.01, rel=0.002)  # the rest is in the wings, 500 eV away
    half = grid[found > found.max() / 2]
    assert np.ptp(half) == pytest.approx(0.5346 * 0.6 + np.hypot(np.sqrt(0.2166) * 0.6, 0.4), abs=0.06)
    assert half.mean() == pytest.approx(2470.123, abs=0.03)


def test_far_above_only_the_jump_is_left(sites: Sites) -> None:
    grid = sites[3].max() + np.array([40.0, 200.0, 2000.0])
    for found in cross_sections(grid, *sites, **EDGE):
        np.testing.assert_allclose(found, [0.09] * 3, rtol=0.01)
        assert found[2] == pytest.approx(0.09, rel=3e-4)  # the wing of an edge as wide as a core hole's


def test_far_below_nothing_is_left(sites: Sites) -> None:
    assert np.abs(cross_sections(np.array([1500.0]), *sites, **EDGE)).max() < 3e-4 * 0.09


def test_evenly_spread_sticks_are_flat_with_an_edge_as_wide_as_the_lines() -> None:
    sticks = np.arange(0.1, 200, 0.2)
    jump = MEGABARN_EV * 1e-3 / 0.2
    site = sticks, np.full(len(sticks), 1e-3), np.array([len(sticks)]), np.array([0.0])
    grid = np.linspace(-5, 60, 400)
    found = cross_sections(grid, *site, jump=jump, gaussian=0.5, lorentzian=0.01)[0]
    np.testing.assert_allclose(found[grid > 1], jump, rtol=0.01)
    rise = np.interp([0.16, 0.5, 0.84], found[grid < 1] / jump, grid[grid < 1])
    np.testing.assert_allclose(rise, np.array([-0.5, 0, 0.5]) / FWHM, atol=0.03)


def test_a_resonance_close_above_the_ionization_energy_stays() -> None:
    site = np.array([3.0]), np.array([0.01]), np.array([1]), np.array([0.0])
    grid = np.linspace(-5, 40, 451)
    without = cross_sections(grid, *(values[:0] for values in site[:2]), np.array([0]), site[3], **EDGE)[0]
    added = cross_sections(grid, *site, **EDGE)[0] - without
    assert grid[added.argmax()] == pytest.approx(2.5, abs=0.5)  # a width growing with energy leans to lower energies
    assert added.sum() * 0.1 == pytest.approx(MEGABARN_EV * 0.01, rel=0.2)


def test_any_grid_gives_the_same_curve(sites: Sites) -> None:
    uneven = np.sort(np.random.default_rng(3).choice(GRID, 40, replace=False))
    whole = cross_sections(GRID, *sites, **EDGE)
    expected = whole[:, np.searchsorted(GRID, uneven)]
    np.testing.assert_allclose(cross_sections(uneven, *sites, **EDGE), expected, atol=1e-4 * whole.max())
    np.testing.assert_allclose(cross_sections(uneven[::-1], *sites, **EDGE), expected[:, ::-1], atol=1e-4 * whole.max())
    assert cross_sections(GRID[:0], *sites, **EDGE).shape == (3, 0)


def test_a_shift_of_all_energies_changes_nothing(sites: Sites) -> None:
    energy, strength, count, ionization = sites
    moved = cross_sections(GRID + 3.377, energy + 3.377, strength, count, ionization + 3.377, **EDGE)
    np.testing.assert_allclose(moved, cross_sections(GRID, *sites, **EDGE), rtol=1e-6)


def test_order_of_sticks_and_size_of_chunks_change_nothing(sites: Sites, monkeypatch: pytest.MonkeyPatch) -> None:
    energy, strength, count, ionization = sites
    expected = cross_sections(GRID, *sites, **EDGE)
    owner = np.repeat(np.arange(3), count)
    shuffled = np.lexsort((np.random.default_rng(5).random(len(energy)), owner))
    monkeypatch.setattr(broadening, "CHUNK", 1)
    found = cross_sections(GRID, energy[shuffled], strength[shuffled], count, ionization, **EDGE)
    np.testing.assert_allclose(found, expected, rtol=1e-9)


def test_molecule_means() -> None:
    molecules, means = molecule_means(np.array([[1.0, 2.0], [10.0, 20.0], [3.0, 6.0]]), np.array([4, 2, 4]))
    assert molecules.tolist() == [2, 4]
    assert means.tolist() == [[10, 20], [2, 4]]


@pytest.mark.parametrize("name", ["gaussian", "lorentzian"])
@pytest.mark.parametrize("width", [0.0, -1.0, np.nan, np.inf])
def test_widths_that_cannot_be(sites: Sites, name: str, width: float) -> None:
    with pytest.raises(SettingsError, match=f"{name} is .* eV; give a positive width"):
        cross_sections(GRID, *sites, **EDGE | {name: width})


def test_arrays_that_do_not_fit(sites: Sites) -> None:
    energy, strength, count, ionization = sites
    with pytest.raises(SettingsError, match="finite energies"):
        cross_sections(np.array([2470.0, np.nan]), *sites, **EDGE)
    with pytest.raises(DatasetError, match="got 279 energies and 280 strengths with 3 counts of 280"):
        cross_sections(GRID, energy[1:], strength, count, ionization, **EDGE)
    with pytest.raises(DatasetError, match="not finite"):
        cross_sections(GRID, energy, strength, count, ionization * np.nan, **EDGE)
