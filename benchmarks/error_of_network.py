"""Fit what predictions get wrong about spectra of their own theory, as `OF_NETWORK` of comparison/gap.py says it.

Usage: python benchmarks/error_of_network.py [--molecules N] [--steps N]

Before: python benchmarks/identifying/prepare.py. The spectrum of each validation molecule, without noise, its offset and
resolution as in identification.py, is sought among up to 36 of its isomers: in all cells of 0.4 eV, in every third, and in 27
of them. The sizes of the errors are those by which the right one comes out most probable on average (by gradients; the
greatest evidence is not what they may be chosen by, see docs/decisions/0016 and 0020). Prints the sizes, and how answers hold
on a third of the molecules that was held out: with them, with a fine error that is the same at all energies, and with one that
is independent in each cell. The change of the resolution is known, and stays what it is; so does the doubt.
"""

import argparse
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from identifying.runs import Case, Prepared, drawn, noise_of, select
from identifying.strategies import IONIZATION
from torch import Tensor

from xas_bluesky.comparison import Gap
from xas_bluesky.comparison.gap import DOUBT, OWN_SHIFT
from xas_bluesky.comparison.hypotheses import OFFSET_SD, SLOPE_SD, SLOPE_SPAN
from xas_bluesky.comparison.tables import SCALE_SD, Tables, interpolated
from xas_bluesky.spectra import Array

EDGES = ("C K", "N K", "O K")
SHIFTS = np.arange(-1.0, 1.01, 0.1)
MOST = 36
FEW = 27
HELD_OUT = 1 / 3
BATCH, RATE = 8, (0.1, 0.003)
CORRELATED = ("network", "warp_sd", "floor_sd")
FINE = ("fine_sd", "fine_share", "fine_length")
NOTHING = dict.fromkeys(("warp_sd", "strength_sd", "smooth_sd", "floor_sd", "blur_sd", "spread", "network"), 0.0)
VARIANTS = {"as it is": (), "the same at all energies": ("fine_share",), "independent in each cell": ("fine_length",)}


@dataclass(frozen=True, slots=True)
class Sought:
    """Hold a spectrum less each of c candidates' predictions, the right one first, at n energies and all SHIFTS.

    `energy` (n,) from the ionization energy; `residual` (c, shifts, n); `mean` (c, n); `parts` (c, k, n, n): covariances of
    errors of unit size, as CORRELATED lists them, and last those that stay; `usual` (n,): the square of the
    list's usual uncertainty.
    """

    edge: str
    energy: Tensor
    residual: Tensor
    mean: Tensor
    parts: Tensor
    usual: Tensor
    noise: float

    def at(self, chosen: Tensor) -> "Sought":
        """Return what is seen at some of the energies."""
        parts = self.parts[:, :, chosen][..., chosen].double()
        residual = self.residual[..., chosen]
        return Sought(self.edge, self.energy[chosen], residual, self.mean[:, chosen], parts, self.usual[chosen], self.noise)


def energies(edge: str) -> Array:
    """Return the cells of a conventional scan (n,) eV."""
    return IONIZATION[edge] + np.concatenate([np.arange(-14.0, 14.01, 0.4), np.arange(15.0, 31.0)])


def sought(case: Case) -> Sought:
    """Lay out one molecule among its isomers."""
    rng = np.random.default_rng([*case.name.encode()])
    others = rng.permutation([row for row in range(len(case.prediction.spectra)) if row != case.truth])
    spectra, population = select(case.prediction.spectra, [case.truth, *others[: MOST - 1]]), case.prediction.population
    gap, energy = replace(Gap.of_theory(case.edge), **NOTHING), energies(case.edge)
    unit = [replace(gap, **{name: 1.0}) for name in CORRELATED[:-1]]
    unit += [replace(gap, floor_sd=1.0, smooth_sd=1.0), replace(gap, blur_sd=Gap.of_theory(case.edge).blur_sd)]
    tables = [Tables(spectra, population, one) for one in unit]

    def part(table: Tables, member: int) -> Array:
        seen = interpolated(energy, table.grid, table.features(member)[1])
        return seen.T @ seen

    parts = np.array([[part(table, member) for table in tables] for member in range(len(spectra))])
    mean = np.array([np.interp(energy, tables[0].grid, tables[0].features(member)[0]) for member in range(len(spectra))])
    sample, settings = drawn(case, 0)
    measured = np.array([sample(energy + shift - settings.energy_offset) for shift in SHIFTS])
    usual = np.interp(energy, spectra.energy, (spectra.std**2).mean(axis=0))
    away = energy - np.median(spectra.ionization)
    return Sought(
        edge=case.edge,
        energy=torch.tensor(away),
        residual=torch.tensor(measured - mean[:, None]),
        mean=torch.tensor(mean),
        parts=torch.tensor(parts).float(),
        usual=torch.tensor(usual),
        noise=noise_of(case.edge),
    )


def log_probability(one: Sought, sizes: dict[str, Tensor]) -> Tensor:
    """Return the log probabilities (c,) of the candidates, the truth being one of them."""
    correlated = torch.stack([*(sizes[name] ** 2 for name in CORRELATED), torch.ones(())])
    baseline = torch.stack([torch.full_like(one.energy, OFFSET_SD), SLOPE_SD * one.energy / SLOPE_SPAN])
    apart = (one.energy[:, None] - one.energy).abs()
    crowd = torch.clamp(1 - apart / torch.clamp(sizes["fine_length"], min=1e-6), min=0).sum(dim=1)
    fine = crowd * (sizes["fine_sd"] ** 2 + sizes["fine_share"] ** 2 * one.usual)
    covariance = torch.einsum("k,cknm->cnm", correlated, one.parts) + baseline.T @ baseline
    covariance = covariance + SCALE_SD**2 * one.mean[:, :, None] * one.mean[:, None, :] + torch.diag(fine + one.noise)
    root = torch.linalg.cholesky(covariance)
    misfit = torch.linalg.solve_triangular(root, one.residual.transpose(1, 2), upper=False)
    log_shift = torch.tensor(-0.5 * (SHIFTS / OWN_SHIFT) ** 2)
    evidence = torch.logsumexp(log_shift - 0.5 * (misfit**2).sum(dim=1), dim=1)
    evidence = evidence - torch.diagonal(root, dim1=1, dim2=2).log().sum(dim=1)
    return torch.logaddexp(torch.log_softmax(evidence, dim=0) + np.log(1 - DOUBT), torch.tensor(np.log(DOUBT / len(evidence))))


def all_energies(count: int) -> Tensor:
    """Return the places of all energies."""
    return torch.arange(count)


def every_third(count: int) -> Tensor:
    """Return the places of every third energy."""
    return torch.arange(1, count, 3)


def fit(cases: list[Sought], absent: tuple[str, ...], steps: int) -> dict[str, Tensor]:
    """Fit all sizes but those that are absent, which are zero, from the shipped ones on."""
    shipped, rng = Gap.of_theory("O K"), np.random.default_rng(0)
    free = {name: torch.tensor(np.log(getattr(shipped, name)), requires_grad=True) for name in (*CORRELATED, *FINE)}
    optimizer = torch.optim.Adam(free.values(), lr=RATE[0])
    for step in range(steps):
        optimizer.param_groups[0]["lr"] = RATE[0] * (1 - step / steps) + RATE[1]
        optimizer.zero_grad()
        for number in rng.choice(len(cases), BATCH, replace=False):
            count = len(cases[number].energy)
            few = torch.tensor(np.sort(rng.choice(count, FEW, replace=False)))
            view = (all_energies(count), every_third(count), few)[rng.choice(3, p=(0.5, 0.25, 0.25))]
            (-log_probability(cases[number].at(view), _sizes(free, absent))[0] / BATCH).backward()
        optimizer.step()
    return {name: value.detach() for name, value in _sizes(free, absent).items()}


def _sizes(free: dict[str, Tensor], absent: tuple[str, ...]) -> dict[str, Tensor]:
    return {name: torch.zeros(()).double() if name in absent else value.exp() for name, value in free.items()}


def judge(cases: list[Sought], sizes: dict[str, Tensor]) -> None:
    """Print how answers hold, by edge, from all energies and from every third."""
    for edge in EDGES:
        own = [one for one in cases if one.edge == edge]
        for view, chosen in (("all energies", all_energies), ("every third", every_third)):
            found = [log_probability(one.at(chosen(len(one.energy))), sizes).exp() for one in own]
            loss = np.mean([-float(probability[0].log()) for probability in found])
            right = np.mean([float(probability.argmax() == 0) for probability in found])
            stated = np.mean([float(probability.max()) for probability in found])
            print(f"  {edge}, {view}, {len(own)}: log loss {loss:.3f}, right {right:.3f}, stated {stated - right:+.3f} more")


def main() -> None:
    """Fit and judge each variant."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--molecules", type=int, help="so many an edge; all by default")
    parser.add_argument("--steps", type=int, default=300)
    parser.add_argument("--cache", type=Path, default=Path("runs/identification"))
    options = parser.parse_args()
    torch.set_default_dtype(torch.float64)
    cases: list[Sought] = []
    for edge in EDGES:
        prepared = Prepared(options.cache, edge)
        names = prepared.truths("validate")[: options.molecules]
        cases += [sought(case) for name in names if (case := prepared.case(name, "isomers")) is not None]
    order = np.random.default_rng(0).permutation(len(cases))
    count = round(HELD_OUT * len(cases))
    held_out, others = ([cases[place] for place in part] for part in (order[:count], order[count:]))
    for variant, absent in VARIANTS.items():
        sizes = fit(others, absent, options.steps)
        said = ", ".join(f"{name} {float(size):.3f}" for name, size in sizes.items())
        print(f"{variant}: {said}", flush=True)
        with torch.no_grad():
            judge(held_out, sizes)


if __name__ == "__main__":
    main()
