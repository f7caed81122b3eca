"""Cross-sections of absorbers from their sticks, on any grid and at any resolution, up to and past the ionization energy.

In energy x above the ionization energy, with the line V (a Voigt profile), the unit step θ, sticks at x_j of strength f_j:

    σ = V * [109.76 Mb·eV · Σ(x_j < 0) f_j δ(x − x_j) + θ(x) · (w(x) · c(x) + (1 − w(x)) · jump)]

Above the ionization energy, where the spectrum is continuous, sticks are an artefact of a finite basis: c(x) is their density,
in Mb, taken with a Gaussian that widens with x and is folded back at x = 0, so that evenly spread sticks give an even
cross-section. Further up it loses its meaning, and the atomic edge jump takes its place: w(x) = exp(−(x / decay)²).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import fft, integrate, special

from xas_bluesky.errors import DatasetError, SettingsError
from xas_bluesky.spectra import FWHM, Array

MEGABARN_EV = 109.76
"""Area (Mb·eV) under a line of unit oscillator strength."""

DECAY = 10.0
"""Energy (eV) above the ionization energy over which the computed continuum gives way to the atomic edge jump."""

WIDTH, GROWTH = 0.7, 1.0
"""Full width at half maximum (eV) of the continuum's sticks at the ionization energy, and its growth per eV above it."""

REACH = 4.0
"""The computed continuum ends this many decays above the ionization energy, where w is 1e-7."""

POINTS_PER_WIDTH = 10
"""Fine-grid points per line width."""

CONTINUUM_STEP = 0.1
"""Spacing (eV) of the bins for sticks above the ionization energy: a third of the narrowest Gaussian's standard deviation."""

CHUNK = 2**21
"""Fine-grid points treated at a time: 16 MB an array."""


@dataclass(frozen=True, slots=True)
class _FineGrid:
    """Hold an even grid of energies above the ionization energy, with what all sites share on it.

    `size` points, `step` eV apart, number `zero` at the ionization energy. `smoothing` (bins of sticks above it, points
    from it on): their strengths to w·c; `replaced`: the w·jump that w·c takes the place of; `transfer`: Fourier
    transform of V; `edge` (size,): jump · V * θ.
    """

    size: int
    step: float
    zero: int
    smoothing: Array
    replaced: Array
    transfer: Array
    edge: Array


def cross_sections(
    grid: Array,
    energy: Array,
    strength: Array,
    count: NDArray[np.int64],
    ionization: Array,
    *,
    jump: float,
    gaussian: float,
    lorentzian: float,
    decay: float = DECAY,
) -> Array:
    """Compute the cross-sections (n, m) of n sites (absorbers) at one edge, in Mb per absorber.

    `grid` (m,): eV, in any order and spacing; `energy`, `strength` (k,): calibrated sticks, site by site, eV; `count` (n,):
    sticks per site; `ionization` (n,): calibrated, eV; `jump`: atomic edge jump, Mb; `gaussian`, `lorentzian`: full widths
    at half maximum of the instrument and the core hole, eV; `decay`: as DECAY.

    Raises SettingsError for a grid or width that cannot be used, DatasetError for arrays that do not fit each other.
    """
    _check_settings(grid, {"gaussian": gaussian, "lorentzian": lorentzian, "decay": decay})
    if not (len(count) == len(ionization) and count.sum() == len(energy) == len(strength)):
        shapes = f"{len(count)} counts of {count.sum()} sticks, {len(ionization)} ionization energies"
        raise DatasetError(f"sticks: got {len(energy)} energies and {len(strength)} strengths with {shapes}")
    spectra = np.empty((len(count), len(grid)))
    if not spectra.size:
        return spectra
    relative = energy - np.repeat(ionization, count)
    if not (np.isfinite(relative).all() and np.isfinite(ionization).all()):
        raise DatasetError("sticks: some energies or ionization energies are not finite; leave these sites out")
    low = min(relative.min(initial=0), grid.min() - ionization.max())
    high = max(REACH * decay, grid.max() - ionization.min())
    fine = _fine_grid(low, high, relative.max(initial=0), jump, gaussian, lorentzian, decay)
    ends = np.concatenate([[0], np.cumsum(count)])
    sites = max(1, CHUNK // fine.size)
    for start in range(0, len(count), sites):
        stop = min(start + sites, len(count))
        sticks = slice(ends[start], ends[stop])
        density = _density(fine, relative[sticks], strength[sticks], count[start:stop])
        lines = np.fft.irfft(np.fft.rfft(density) * fine.transfer, fine.size) + fine.edge
        first, weights = _lagrange((grid - ionization[start:stop, None]) / fine.step + fine.zero)
        spectra[start:stop] = sum(np.take_along_axis(lines, first + k, 1) * weights[..., k] for k in range(4))
    return spectra


def molecule_means(spectra: Array, site_molecule: NDArray[np.int64]) -> tuple[NDArray[np.int64], Array]:
    """Average site spectra (n, m) over each molecule; return the molecules' indices, increasing, and their spectra."""
    molecules, row, sites = np.unique(site_molecule, return_inverse=True, return_counts=True)
    sums = np.zeros((len(molecules), spectra.shape[1]))
    np.add.at(sums, row, spectra)
    return molecules, sums / sites[:, None]


def _check_settings(grid: Array, widths: Mapping[str, float]) -> None:
    if grid.ndim != 1 or not np.isfinite(grid).all():
        raise SettingsError(f"energy grid of shape {grid.shape}: expected one dimension of finite energies, in eV")
    for name, width in widths.items():
        if not 0 < width < np.inf:
            raise SettingsError(f"{name} is {width} eV; give a positive width")


def _fine_grid(
    low: float, high: float, last: float, jump: float, gaussian: float, lorentzian: float, decay: float
) -> _FineGrid:
    step = min(max(gaussian, lorentzian) / POINTS_PER_WIDTH, CONTINUUM_STEP)
    zero = 4 - int(low // step)
    margin = 10 * gaussian + 100 * lorentzian  # the transform is periodic: lines must not come round to the other end
    size: Any = fft.next_fast_len(zero + 4 + int((high + margin) // step), real=True)
    sigma, gamma = gaussian / FWHM, lorentzian / 2
    wave = 2 * np.pi * np.fft.rfftfreq(size, step)
    energy = step * (np.arange(size) - zero)
    line = special.voigt_profile(energy, sigma, gamma)
    below = 0.5 + np.arctan(energy[0] / gamma) / np.pi
    above = energy[zero : zero + int(REACH * decay / step)]
    weight = np.exp(-((above / decay) ** 2))
    weight[0] /= 2  # θ rises here
    sigmas = (WIDTH + GROWTH * above) / FWHM
    bins = CONTINUUM_STEP * np.arange(-1, int(last / CONTINUUM_STEP) + 4)[:, None]
    folded = (np.exp(-0.5 * ((above + sign * bins) / sigmas) ** 2) for sign in (-1, 1))
    return _FineGrid(
        size=size,
        step=step,
        zero=zero,
        smoothing=sum(folded) * weight * MEGABARN_EV / (np.sqrt(2 * np.pi) * sigmas),
        replaced=weight * jump,
        transfer=np.exp(-0.5 * (sigma * wave) ** 2 - gamma * wave),
        edge=jump * (below + integrate.cumulative_trapezoid(line, dx=step, initial=0)),
    )


def _density(fine: _FineGrid, relative: Array, strength: Array, count: NDArray[np.int64]) -> Array:
    """Return the cross-sections (n, size) in Mb, without the atomic edge jump, before lines take their width."""
    site, bound = np.repeat(np.arange(len(count)), count), relative < 0
    shape = len(count), fine.size
    density = _binned(site[bound], relative[bound] / fine.step + fine.zero, strength[bound], shape) * (MEGABARN_EV / fine.step)
    shape = len(count), len(fine.smoothing)
    bins = _binned(site[~bound], relative[~bound] / CONTINUUM_STEP + 1, strength[~bound], shape)
    density[:, fine.zero : fine.zero + len(fine.replaced)] += bins @ fine.smoothing - fine.replaced
    return density


def _binned(row: NDArray[np.int64], position: Array, weight: Array, shape: tuple[int, int]) -> Array:
    """Sum weights at fractional positions in rows into bins of this shape."""
    first, shares = _lagrange(position)
    cells = (row * shape[1] + first)[:, None] + np.arange(4)
    sums: Any = np.bincount(cells.ravel(), (weight[:, None] * shares).ravel(), shape[0] * shape[1])
    return sums.reshape(shape)


def _lagrange(position: Array) -> tuple[NDArray[np.int64], Array]:
    """Return the first of the four grid points around each position, and cubic interpolation's weights (…, 4) for them."""
    whole = np.floor(position)
    t = position - whole
    weights = (
        -t * (t - 1) * (t - 2) / 6,
        (t + 1) * (t - 1) * (t - 2) / 2,
        -(t + 1) * t * (t - 2) / 2,
        (t + 1) * t * (t - 1) / 6,
    )
    return whole.astype(np.int64) - 1, np.stack(weights, axis=-1)
