from dataclasses import replace
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
from scipy.special import ndtr

from xas_bluesky.comparison.fingerprint import Reference, fit_references, rank_references, read_references
from xas_bluesky.demo import DATA
from xas_bluesky.errors import SettingsError, SpectrumError
from xas_bluesky.reduction import normalize
from xas_bluesky.spectra import Absorption

MEASURED = DATA / "measured"
FILES = ("cysteine.csv", "diphenyl_sulfoxide.csv", "dodecanethiol.csv", "methionine_sulfone.csv")
E0 = 2473.0
"""Between the edges of thiols and sulfones."""


@pytest.fixture(scope="module")
def references() -> list[Reference]:
    return read_references([MEASURED], "S K")


@pytest.fixture(scope="module")
def norms(references) -> dict:
    return {reference.name: normalize(reference.absorption, e0=E0) for reference in references}


def energies(norms):
    energy = norms[FILES[0]].energy
    return energy[(energy > max(norm.energy[0] for norm in norms.values())) & (energy < 2519.0)]


def mix(norms, shares, noise=0.0, seed=0, shift=0.0) -> Absorption:
    """A mixture of measured spectra, on cysteine's energies that all of them cover."""
    energy = energies(norms)
    mu = sum(share * np.interp(energy - shift, norms[name].energy, norms[name].norm) for name, share in shares.items())
    mu = mu + noise * np.random.default_rng(seed).standard_normal(len(energy))
    return Absorption(energy, mu, np.full(len(energy), noise**2 + 1e-12))


def test_the_spectra_of_a_folder_are_read(references):
    assert [reference.name for reference in references] == sorted(FILES)
    assert len(references[0].absorption) == 344


@pytest.mark.parametrize(("first", "second"), list(combinations(FILES, 2)))
def test_a_mixture_of_two_is_found_among_four(references, norms, first, second):
    measured = mix(norms, {first: 0.7, second: 0.3}, noise=0.01)
    fit = next(fit for fit in rank_references(measured, references) if set(fit.references) == {first, second})
    found = dict(zip(fit.references, fit.weights, strict=True))
    assert (found[first], found[second]) == pytest.approx((0.7, 0.3), abs=0.03)
    assert sum(fit.weights) == pytest.approx(1.0)
    assert fit.r_factor < 3e-4
    best = rank_references(measured, references, components=2, most=1)
    assert [set(one.references) for one in best] == [{first, second}]


def test_combinations_are_ranked_by_fit_and_count(references, norms):
    fits = rank_references(mix(norms, {FILES[1]: 0.6, FILES[3]: 0.4}, noise=0.02), references)
    assert [fit.aic for fit in fits] == sorted(fit.aic for fit in fits)
    assert all(min(fit.weights) > 0 for fit in fits)
    for fit in fits:
        variables = len(fit.references) - 1
        assert fit.reduced_chi_square == pytest.approx(fit.chi_square / (fit.points - variables))
        assert fit.aic == pytest.approx(fit.points * np.log(fit.chi_square / fit.points) + 2 * variables)
    assert len(rank_references(mix(norms, {FILES[1]: 0.6, FILES[3]: 0.4}, noise=0.02), references, most=2)) == 2


def test_a_reference_is_itself(references):
    fit = fit_references(references[2].absorption, references)
    assert fit.weights == pytest.approx((0, 0, 1, 0), abs=1e-6)
    assert fit.r_factor < 1e-12


def test_errors_are_those_of_the_noise_in_the_range(references, norms):
    pair = [reference for reference in references if reference.name in (FILES[1], FILES[3])]
    exact, energy, found = mix(norms, {FILES[1]: 0.5, FILES[3]: 0.5}), energies(norms), []
    near = np.abs(energy - E0) < 12.5
    for seed in range(100):
        noise = 0.03 * near * np.random.default_rng(seed).standard_normal(len(energy))
        fit = fit_references(Absorption(energy, exact.mu + noise, exact.variance), pair, e0=E0, low=-12.0, high=12.0)
        found.append((fit.weights[0], fit.errors[0]))
    weight, error = np.array(found).T
    assert np.std(weight) == pytest.approx(np.mean(error), rel=0.25)
    assert np.mean(weight) == pytest.approx(0.5, abs=np.mean(error))


def test_counting_noise_above_the_misfit_counts(references, norms):
    measured = mix(norms, {FILES[0]: 0.5, FILES[1]: 0.5}, noise=0.01)
    louder = replace(measured, variance=100 * measured.variance)
    assert fit_references(louder, references).errors[1] == pytest.approx(
        10 * fit_references(measured, references).errors[1], rel=0.15
    )
    assert fit_references(louder, references).weights == fit_references(measured, references).weights


def test_weights_need_not_sum_to_one(references, norms):
    """A third of the sulfur is in a compound without any structure: an edge step alone."""
    energy = energies(norms)
    measured = mix(norms, {FILES[0]: 0.4, FILES[3]: 0.3}).mu + 0.3 * ndtr((energy - 2485) / 2.0)
    absorption = Absorption(energy, measured, np.full(len(energy), 1e-6))
    free = fit_references(absorption, references, sum_to_one=False, high=8.0)
    assert sum(free.weights) < 0.9
    assert free.chi_square < fit_references(absorption, references, high=8.0).chi_square


@pytest.mark.parametrize("shift", [-0.6, 0.0, 0.4])
def test_a_common_shift_is_found(references, norms, shift):
    measured = mix(norms, {FILES[1]: 0.6, FILES[3]: 0.4}, noise=0.005, shift=shift)
    pair = [reference for reference in references if reference.name in (FILES[1], FILES[3])]
    fit = fit_references(measured, pair, e0=E0, max_shift=2.0)
    assert fit.shift == pytest.approx(shift, abs=0.05)
    assert 0 < fit.shift_error < 0.05
    assert fit.weights == pytest.approx((0.6, 0.4), abs=0.03)


@pytest.mark.parametrize(
    "shares", [{FILES[2]: 1.0}, {FILES[0]: 0.7, FILES[3]: 0.3}, {FILES[1]: 0.5, FILES[3]: 0.5}, {FILES[2]: 0.2, FILES[1]: 0.8}]
)
def test_xraylarch_finds_the_same_weights(references, norms, shares):
    from larch import Group
    from larch.math import lincombo_fit

    measured = mix(norms, shares, noise=0.01)
    chosen = [reference for reference in references if reference.name not in shares or len(shares) > 1][:4]
    fit, e0 = fit_references(measured, chosen, e0=E0), E0

    def group(name: str, absorption: Absorption) -> Group:
        found = normalize(absorption, e0=e0)
        return Group(energy=found.energy, norm=found.norm, filename=name)

    theirs = lincombo_fit(
        group("sample", measured),
        [group(reference.name, reference.absorption) for reference in chosen],
        weights=list(fit.weights),
        minvals=[0.0] * len(chosen),
        maxvals=[1.0] * len(chosen),
        xmin=e0 - 20,
        xmax=e0 + 30,
    )
    assert fit.weights == pytest.approx([theirs.weights[reference.name] for reference in chosen], abs=0.01)
    assert fit.r_factor == pytest.approx(theirs.rfactor, rel=0.05)
    assert fit.chi_square == pytest.approx(theirs.chisqr, rel=0.05)
    assert fit.points == pytest.approx(len(theirs.xdata), abs=2)


def written(path: Path, at: float, reach: float = 100.0, header: str = "") -> Path:
    """A file with an edge at an energy."""
    energy = at + np.arange(-60.0, reach, 0.5)
    rows = [f"{one:.2f},{value:.6f}" for one, value in zip(energy, ndtr((energy - at) / 1.5), strict=True)]
    path.write_text("\n".join([*([header] if header else []), "energy_eV,mu_raw", *rows, ""]))
    return path


def test_files_and_folders_may_be_given_and_one_left_out(tmp_path):
    more = written(tmp_path / "sulfate.xmu", 2481.0)
    (tmp_path / "readme.md").write_text("not a spectrum")
    found = read_references([MEASURED, tmp_path], "S K", leave_out=MEASURED / FILES[0])
    assert [reference.name for reference in found] == [*FILES[1:], more.name]


def test_a_folder_without_spectra_is_named(tmp_path):
    with pytest.raises(SpectrumError, match=f"{tmp_path}: no reference here; give a spectrum, or a folder of files .csv, "):
        read_references([tmp_path], "S K")


def test_a_reference_at_another_energy_is_named(tmp_path):
    path = written(tmp_path / "nickel.csv", 8333.0)
    with pytest.raises(
        SpectrumError, match=r"nickel\.csv: its edge at 833\d\.\d eV is not the S K edge at 2472\.0 eV; leave it out"
    ):
        read_references([path], "S K")


def test_a_reference_of_another_edge_is_named(tmp_path):
    header = "# XDI/1.0\n# Element.symbol: Mo\n# Element.edge: L3\n# Column.1: energy eV\n# Column.2: mutrans\n# ---"
    path = tmp_path / "molybdenum.xdi"
    rows = written(path, 2473.0).read_text().splitlines()[1:]
    path.write_text("\n".join([header, *(row.replace(",", " ") for row in rows), ""]))
    with pytest.raises(
        SpectrumError, match=r"molybdenum\.xdi: the file is of the Mo L3 edge, not of the S K edge; leave it out"
    ):
        read_references([path], "S K")


def test_a_reference_without_an_edge_is_named(tmp_path):
    path = tmp_path / "flat.csv"
    path.write_text("\n".join(["energy_eV,mu_raw", *(f"{2440 + n},{n % 3 + 0.01 * n:.2f}" for n in range(60)), ""]))
    with pytest.raises(SpectrumError, match=r"flat\.csv: no whole edge in the scan"):
        read_references([path], "S K")


def test_two_references_of_one_name_are_refused(tmp_path):
    written(tmp_path / FILES[0], 2472.0)
    with pytest.raises(SpectrumError, match=f"{tmp_path}/{FILES[0]}: another reference is called {FILES[0]} too; rename one"):
        read_references([MEASURED, tmp_path], "S K")


def test_a_reference_that_does_not_cover_the_range_is_named(tmp_path, references):
    short = read_references([written(tmp_path / "short.csv", 2473.0, reach=25.0)], "S K")
    with pytest.raises(
        SpectrumError, match=r"reference short\.csv: it covers 2413\.0 to 2497\.5 eV, the fit needs 24.* to 25"
    ):
        rank_references(references[0].absorption, short)
    assert rank_references(references[0].absorption, short, high=20.0)[0].weights == (1.0,)


def test_too_few_points_are_refused(references):
    with pytest.raises(SpectrumError, match=r"\d points from 0 to 0\.5 eV of e0 = 2471\.9 eV, at least 14 are needed"):
        fit_references(references[0].absorption, references, low=0.0, high=0.5)


def test_no_references_are_refused(references):
    with pytest.raises(SpectrumError, match="no references to fit the spectrum by; give at least one"):
        fit_references(references[0].absorption, [])


def test_a_negative_shift_is_refused(references):
    with pytest.raises(SettingsError, match="max_shift is -1 eV"):
        fit_references(references[0].absorption, references, max_shift=-1.0)
