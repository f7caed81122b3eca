"""The demonstration: a measured spectrum, a simulated beamline, and the question what became of the sulfur."""

import json
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.live import Live
from scipy.ndimage import gaussian_filter1d

from xas_bluesky.agent import Step
from xas_bluesky.comparison import provisional
from xas_bluesky.edges import find_edge
from xas_bluesky.errors import SettingsError
from xas_bluesky.files import read_candidates, read_spectrum
from xas_bluesky.outcome import Outcome
from xas_bluesky.predictor_client import LocalPredictor
from xas_bluesky.report import outcome_report, step_table
from xas_bluesky.results import open_catalog
from xas_bluesky.simulation import simulate
from xas_bluesky.spectra import FWHM, Absorption, Spectrum

DATA = Path(str(files("xas_bluesky") / "data"))
EDGE = "S K"
SAMPLE = "methionine_sulfone"
DRAWN = 4
"""Predictions drawn: the leading candidate of each of this many groups."""
DRAWN_WIDTH = 1.6
"""Full width at half maximum (eV) by which drawn predictions are broadened, about as much as measured spectra are."""


def known_sample() -> Spectrum:
    """Read the measured spectrum that the demonstration replays."""
    return read_spectrum(DATA / "measured" / f"{SAMPLE}.csv")


def run_demo(catalog: str, picture: Path, as_json: bool) -> None:
    """Run the demonstration, show it live, and write its picture."""
    _check_picture(picture)
    candidates = read_candidates(DATA / "candidates" / "sulfur.csv")
    console = Console(stderr=as_json)
    console.print(
        "What has become of the methionine, the cysteine or the thiol in this sample? "
        f"{len(candidates)} candidates; the sample is methionine sulfone, which the agent does not know."
    )
    with LocalPredictor() as predictor, open_catalog(catalog) as opened, Live(console=console) as live:

        def watch(step: Step) -> None:
            live.update(step_table(step), refresh=True)

        outcome = simulate(known_sample(), candidates, EDGE, SAMPLE, predictor, opened, watch=watch)
        command = opened.query_command()
    draw(outcome, picture)
    console.print(outcome_report(outcome, command), f"picture: {picture}")
    if as_json:
        print(json.dumps({**outcome.to_json(), "picture": str(picture)}, allow_nan=False))  # noqa: T201


def _check_picture(picture: Path) -> None:
    if picture.suffix != ".png":
        raise SettingsError(f"{picture}: the picture is a PNG; give a name that ends in .png")
    try:
        picture.parent.mkdir(parents=True, exist_ok=True)
        picture.touch()
    except OSError as error:
        raise SettingsError(f"{picture}: cannot be written ({error.strerror}); name another picture") from error


def draw(outcome: Outcome, picture: Path) -> None:
    """Draw what was measured, the predictions with their bands, where the agent measured, and the posterior over time."""
    import matplotlib as mpl

    mpl.use("Agg")
    import matplotlib.pyplot as plt

    figure, (top, choice, bottom) = plt.subplots(3, 1, figsize=(9, 10), height_ratios=[5, 1, 3], layout="constrained")
    last = outcome.steps[-1]
    _spectra(top, outcome, last)
    _choice(choice, outcome)
    _posterior(bottom, outcome)
    choice.sharex(top)
    figure.suptitle(f"{SAMPLE.replace('_', ' ')}, {EDGE} edge: {outcome.stop_reason}", fontsize=10, wrap=True)
    figure.savefig(picture, dpi=110)
    plt.close(figure)


def _spectra(axes: Any, outcome: Outcome, last: Step) -> None:
    predicted, answer = outcome.prediction.spectra, outcome.answer
    sigma = DRAWN_WIDTH / FWHM / float(np.diff(predicted.energy[:2])[0])
    normalized: Absorption = provisional(last.absorption, find_edge(EDGE).energy)
    for group in answer.groups[:DRAWN]:
        ranked = next(ranked for ranked in answer.ranking if ranked.candidate in group.members)
        place = predicted.candidate.index(ranked.candidate)
        energy = predicted.energy + ranked.energy_shift
        mean, std = (gaussian_filter1d(values[place], sigma, mode="nearest") for values in (predicted.mean, predicted.std))
        (line,) = axes.plot(energy, mean, lw=1.2, label=f"{ranked.candidate} (its group: {group.probability:.2f})")
        axes.fill_between(energy, mean - std, mean + std, color=line.get_color(), alpha=0.15, lw=0)
    order = np.argsort(normalized.energy)
    error = np.sqrt(normalized.variance[order])
    axes.errorbar(normalized.energy[order], normalized.mu[order], error, fmt="ko-", ms=3.5, lw=0.6, label="measured")
    axes.set(ylabel="absorption / edge jump", xlabel="energy / eV")
    axes.legend(fontsize=8, title=f"predictions ± 1 standard deviation, shifted as found, broadened by {DRAWN_WIDTH} eV")


def _choice(axes: Any, outcome: Outcome) -> None:
    start = 0
    for index, step in enumerate(outcome.steps):
        energy = step.absorption.energy[start:]
        axes.plot(energy, np.full(len(energy), index), "|", ms=8)
        start = len(step.absorption)
    axes.set(ylabel="step", xlabel="energies measured / eV")
    axes.invert_yaxis()


def _posterior(axes: Any, outcome: Outcome) -> None:
    seconds = [step.spent.seconds for step in outcome.steps]
    answers = [step.decision.answer for step in outcome.steps]
    for group in outcome.answer.groups:
        of = [sum(r.probability for r in answer.ranking if r.candidate in group.members) for answer in answers if answer]
        label = ", ".join(group.members[:3]) + (" …" if len(group.members) > 3 else "")
        axes.plot(seconds, of, "o-", ms=3, label=label)
    axes.plot(seconds, [answer.none_of_these for answer in answers if answer], "k--", label="none of these")
    axes.set(xlabel="beam time / s", ylabel="probability", ylim=(-0.02, 1.02))
    axes.legend(fontsize=8)
