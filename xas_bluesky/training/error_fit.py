"""Fit how far predictions err, to structures that the networks have not seen."""

from dataclasses import replace

import numpy as np

from xas_bluesky.models import EdgeModel, ErrorModel, Population, Scaling
from xas_bluesky.models.error_model import SIGNALS, disagreement, signals
from xas_bluesky.models.low_rank import low_rank
from xas_bluesky.prediction.structure_spectra import average_sites
from xas_bluesky.spectra import Array
from xas_bluesky.training.asking import Asked

RANK = 12
"""Factors of the residuals' covariance along energy."""
SPACE = 16
"""Dimensions, at most, of the space in which distances from the training set are measured."""
NOISE = 1e-3
"""A direction in which the training sites lie so much closer than in the first one is noise."""
FAR = 0.98
"""Part of the validation sites that lie within the distance beyond which a structure counts as unlike the training set."""
CHOICES = np.linspace(0.0, 0.9, 10)
"""Of the share that the networks' disagreement has in the shape of errors, and of the part that sites have in common."""
RIDGE = 1.0
"""Keeps the weights of an error's signals small where few sites were validated."""
BANDS = ((1.0, 0.6827, 0.03), (1.96, 0.95, 0.02))
"""Half widths in standard deviations, the part of the points that a Gaussian has within, and how far off that may be."""


def fit_errors(known: Array, asked: Asked, scaling: Scaling, population: Population) -> ErrorModel:
    """Fit the errors at one edge.

    `known` (n, trunk): the first network's latent states of the training sites; `asked`: answers for validation structures.
    """
    sites = scaling.sites(asked.outputs)
    residuals = asked.residuals(scaling)
    points = len(scaling.energy)
    _, sizes, directions = np.linalg.svd(known - known.mean(axis=0), full_matrices=False)
    told_apart = sizes[:SPACE] > NOISE * sizes[0]
    projection = (directions[:SPACE].T * np.sqrt(len(known)) / sizes[:SPACE])[:, told_apart]  # to unit variance in each
    blank = ErrorModel(
        projection=projection,
        known=known @ projection,
        far=np.inf,
        size=np.zeros(SIGNALS),
        share=0.0,
        residual=np.zeros((1, points)),
        rest=np.zeros(points),
        together=0.0,
    )
    distance = blank.distance(asked.latent)

    told = signals(sites, distance)
    center = told.mean(axis=0) * [0, 1, 1, 1]
    found = np.log(np.sqrt((residuals**2).mean(axis=1)))
    penalty = RIDGE * np.diag([0.0, *np.ones(SIGNALS - 1)])
    size = np.linalg.solve((told - center).T @ (told - center) + penalty, (told - center).T @ found)
    size[0] -= center @ size
    scaled = residuals / np.exp(told @ size)[:, None]

    apart = (sites.disagreement**2).sum(axis=1) / disagreement(sites)[:, None] ** 2
    # at each energy as wide as most residuals are: a few large ones would set the root mean square
    flat = np.array([_stretch(errors) for errors in np.abs(scaled).T])
    likely = [-_surprise(scaled, np.sqrt(share * apart + (1 - share) * flat**2)) for share in CHOICES]
    sound = scaled * flat / np.sqrt((scaled**2).mean(axis=0))
    residual, rest = low_rank(sound / np.sqrt(len(sound)), RANK)
    model = replace(
        blank,
        far=float(np.quantile(distance, FAR)),
        size=size,
        share=float(CHOICES[np.argmax(likely)]),
        residual=residual,
        rest=rest,
    )
    return _for_structures(model, asked, scaling, population)


def _for_structures(model: ErrorModel, asked: Asked, scaling: Scaling, population: Population) -> ErrorModel:
    """Choose what sites have in common, and the overall size, so that the bands of whole structures are right."""
    sites, distance = scaling.sites(asked.outputs), model.distance(asked.latent)
    computed, within = asked.means(scaling, population.energy), asked.within(scaling, population.energy)
    tried: list[tuple[float, ErrorModel]] = []
    for together in CHOICES:
        errors = replace(model, together=float(together))
        found = average_sites(EdgeModel(scaling, errors, population), sites, distance, asked.count)
        off, std = (found.mean - computed)[within], found.std[within]
        factor = _stretch(np.abs(off) / std)
        size = errors.size + np.log(factor) * (np.arange(SIGNALS) == 0)
        tried.append((_surprise(off, factor * std), replace(errors, size=size)))
    return min(tried, key=lambda pair: pair[0])[1]


def _stretch(errors: Array) -> float:
    """Return the factor on standard deviations that brings the bands at BANDS as near to the right parts as both can be.

    `errors` (n,): in standard deviations. Their tails are heavier than a Gaussian's, so one band alone could be right.
    """
    low, high = np.quantile(errors, [0.5, 0.95])
    factors = np.geomspace(low, high, 200)
    missed = [[np.mean(errors <= half * factor) - part for half, part, _ in BANDS] for factor in factors]
    return float(factors[np.abs(np.array(missed) / [allowed for *_, allowed in BANDS]).max(axis=1).argmin()])


def _surprise(residuals: Array, std: Array) -> float:
    """Return the mean negative logarithm of a Laplace distribution's density, whose tails are heavy as those of errors are."""
    return float((np.log(std) + np.sqrt(2) * np.abs(residuals) / std).mean())
