"""Pairs of spectra of one compound by two theories: ours (`theory`) and the published TDDFT of the sulfur set.

What theory gets wrong is learned from their differences. Both count energies from the ionization energy that ours computes for
the compound: the published set has none, and one value per class would add a spread several times that of the differences.
The sticks are what is stored; everything here is made of them in about a second.
"""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Self

import numpy as np
from numpy.typing import NDArray
from rdkit import Chem

from xas_bluesky.candidates import Candidate
from xas_bluesky.edges import find_edge
from xas_bluesky.errors import DatasetError
from xas_bluesky.spectra import Array
from xas_bluesky.structures import environment, read_molecule, split
from xas_bluesky.theory import Dataset, calibrated, cross_sections
from xas_bluesky.training.sulfur_set import read_compounds

EDGE = "S K"
LORENTZIAN, GAUSSIAN = 0.59, 1.0
"""Full widths at half maximum, eV: the S 1s core hole (xraydb) and a base resolution finer than any beamline's."""
GRID = np.round(np.arange(-12.0, 2.01, 0.2), 1)
"""Energies of the spectra, eV from the ionization energy."""
BEYOND = 2.0
"""A compound whose published sticks end less than this (eV) above the end of GRID is left out: its spectrum is cut."""
FLOOR = 0.01
"""Atomic edge jumps: no theory is known better than this at any energy, and no spectrum measured better."""
PEAK_GRID = np.round(np.arange(-12.0, 0.0, 0.02), 2)
"""Energies, eV from the ionization energy, among which the strongest peak is looked for."""


@dataclass(frozen=True, slots=True)
class SiteSticks:
    """Hold the sticks of n sites, site by site: `energy` (k,) eV from the site's ionization energy, `strength` (k,)."""

    energy: Array
    strength: Array
    count: NDArray[np.int64]

    @classmethod
    def of(cls, sites: list[tuple[Array, Array]]) -> Self:
        """Join the energies and strengths of sites."""
        count = np.array([len(energy) for energy, _ in sites], dtype=np.int64)
        energies, strengths = [np.zeros(0), *(site[0] for site in sites)], [np.zeros(0), *(site[1] for site in sites)]
        return cls(np.concatenate(energies), np.concatenate(strengths), count)

    def select(self, mask: NDArray[np.bool_]) -> Self:
        """Return the sites where `mask` (n,) is true."""
        sticks = np.repeat(mask, self.count)
        return replace(self, energy=self.energy[sticks], strength=self.strength[sticks], count=self.count[mask])

    def shifted(self, shift: float | Array) -> Self:
        """Add `shift` eV, one for all or one for each site (n,), to the energies."""
        return replace(self, energy=self.energy + np.repeat(np.broadcast_to(shift, len(self.count)), self.count))

    def spectra(self, grid: Array = GRID) -> Array:
        """Return the broadened spectra (n, m), in atomic edge jumps."""
        jump = find_edge(EDGE).jump
        ionization, widths = np.zeros(len(self.count)), {"gaussian": GAUSSIAN, "lorentzian": LORENTZIAN}
        return cross_sections(grid, self.energy, self.strength, self.count, ionization, jump=jump, **widths) / jump

    def peaks(self) -> Array:
        """Return where the bound sticks' spectra are highest (n,), eV from the ionization energy."""
        bound = replace(self, strength=np.where(self.energy < 0, self.strength, 0))
        return PEAK_GRID[bound.spectra(PEAK_GRID).argmax(axis=1)]


@dataclass(frozen=True, slots=True)
class TheoryPairs:
    """Hold n compounds of both theories.

    `name`, `environment` of the sulfur, `part` (train, test, or TEST: the authors' test set): (n,); `ionization` (n,) eV, by
    ours; `computed` by ours and `published`: their sticks.
    """

    name: NDArray[np.str_]
    environment: NDArray[np.str_]
    part: NDArray[np.str_]
    ionization: Array
    computed: SiteSticks
    published: SiteSticks

    def __len__(self) -> int:
        return len(self.name)

    def select(self, mask: NDArray[np.bool_]) -> "TheoryPairs":
        """Return the pairs where `mask` (n,) is true."""
        return TheoryPairs(
            self.name[mask],
            self.environment[mask],
            self.part[mask],
            self.ionization[mask],
            self.computed.select(mask),
            self.published.select(mask),
        )

    def peak_differences(self) -> Array:
        """Return how far (n,) the computed strongest peak lies above the published one, eV."""
        return self.computed.peaks() - self.published.peaks()

    def differences(self, shift: float | Array) -> Array:
        """Return computed minus published spectra (n, m) on GRID, in atomic edge jumps, `shift` eV added to the published."""
        return self.computed.spectra() - self.published.shifted(shift).spectra()


@dataclass(frozen=True, slots=True)
class TheoryError:
    """Hold a Gaussian over differences of spectra on GRID, in atomic edge jumps, its covariance of low rank plus a diagonal.

    `mean` (m,); `factors` (r, m), largest first; `rest` (m,): standard deviation of what they leave, taken as independent.
    """

    mean: Array
    factors: Array
    rest: Array

    @classmethod
    def fit(cls, differences: Array, rank: int) -> Self:
        """Fit to differences (n, m) by their leading directions."""
        mean = differences.mean(axis=0)
        _, sizes, directions = np.linalg.svd((differences - mean) / np.sqrt(len(differences)), full_matrices=False)
        factors = sizes[:rank, None] * directions[:rank]
        left = sizes[rank:, None] * directions[rank:]
        return cls(mean, factors, np.sqrt((left**2).sum(axis=0) + FLOOR**2))

    @property
    def std(self) -> Array:
        """The standard deviation (m,) at each energy."""
        return np.sqrt((self.factors**2).sum(axis=0) + self.rest**2)

    @property
    def covariance(self) -> Array:
        """The covariance (m, m) between energies."""
        return self.factors.T @ self.factors + np.diag(self.rest**2)

    def distances(self, differences: Array) -> Array:
        """Return the squared Mahalanobis distances (n,) of differences (n, m); about m each when the Gaussian is right."""
        whitened = np.linalg.solve(np.linalg.cholesky(self.covariance), (differences - self.mean).T)
        return (whitened**2).sum(axis=0)


def pair_theories(computed: Dataset, folder: Path) -> TheoryPairs:
    """Pair computed compounds with the published ones of the same name in the sulfur set's folder.

    Blind compounds, and those whose published spectrum is cut (BEYOND), are left out. Raises DatasetError for a compound that
    the set does not hold or holds as another molecule, SettingsError where the folder cannot be read.
    """
    published = {row["name"]: (row, energy, strength) for row, energy, strength in read_compounds(folder)}
    compounds: list[_Compound] = []
    sites, energies, ionizations = calibrated(computed, "S")
    ends = np.cumsum(computed.site_sticks[sites])[:-1]
    each = zip(
        computed.site_molecule[sites],
        ionizations,
        np.split(energies, ends),
        np.split(computed.strength[computed.sticks_of(sites)], ends),
        strict=True,
    )
    for place, ionization, excitations, strengths in each:
        name, smiles = str(computed.name[place]), str(computed.smiles[place])
        row, energy, strength = published.get(name, ({"smiles": ""}, np.zeros(0), np.zeros(0)))
        if not row["smiles"] or Chem.CanonSmiles(row["smiles"]) != Chem.CanonSmiles(smiles):
            raise DatasetError(f"molecule {name!r}: {folder} holds no {smiles} of this name; compute the compounds it holds")
        part = split(smiles)
        if part != "blind" and energy.max(initial=-np.inf) - ionization >= GRID[-1] + BEYOND:
            part = "TEST" if row["type"] == "TEST" else part
            around = _environment(Candidate(name, smiles))
            ours, theirs = (excitations - ionization, strengths), (energy - ionization, strength)
            compounds.append(_Compound(name, around, part, ionization, ours, theirs))
    return TheoryPairs(
        name=np.array([compound.name for compound in compounds], dtype=np.str_),
        environment=np.array([compound.environment for compound in compounds], dtype=np.str_),
        part=np.array([compound.part for compound in compounds], dtype=np.str_),
        ionization=np.array([compound.ionization for compound in compounds], dtype=np.float64),
        computed=SiteSticks.of([compound.computed for compound in compounds]),
        published=SiteSticks.of([compound.published for compound in compounds]),
    )


def fit_constant(pairs: TheoryPairs) -> float:
    """Return what to add (eV) to published energies: the median peak difference of the pairs that may be trained on.

    It serves comparison only; the constants of our theory come from measurement.
    """
    return float(np.median(pairs.select(pairs.part == "train").peak_differences()))


@dataclass(frozen=True, slots=True)
class _Compound:
    """Hold one pair; sticks are energies (eV from the ionization energy) and strengths."""

    name: str
    environment: str
    part: str
    ionization: float
    computed: tuple[Array, Array]
    published: tuple[Array, Array]


def _environment(candidate: Candidate) -> str:
    molecule = read_molecule(candidate, "S")
    return next(environment(atom) for atom in molecule.GetAtoms() if atom.GetSymbol() == "S")
