"""Runs: a truth, its candidates, and every strategy on the same sample, energy offset and resolution."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np

from identifying.beamline import Beamline
from identifying.questions import PER_CANDIDATE, Question, plain, select
from identifying.strategies import Measure, checkpoints, families, in_time
from xas_bluesky.beamline import conventional_scan
from xas_bluesky.beamline_sim import BeamlineSettings
from xas_bluesky.comparison import Gap
from xas_bluesky.edges import find_edge
from xas_bluesky.spectra import Array, PredictedSpectra, Prediction

MOST = 100
OFFSET = 0.5
"""The energies' zero is off by up to this much (eV), evenly."""
RESOLUTIONS = (0, 2)
"""Which of the truth's spectra are measured: 15 % too narrow, or too broad."""
NOMINAL = 1
STUDIES = ("isomers", "unseen", "perfect")
"""Candidates are isomers; or computed molecules that the networks have not seen, with predictions; or these as computed."""

Row = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Case:
    """Hold a truth's name, its spectra (resolutions, m) at energies (m,) eV, and its candidates, `truth` its place there."""

    edge: str
    name: str
    energy: Array
    spectra: Array
    prediction: Prediction
    truth: int


class Prepared:
    """Read what prepare.py wrote for one edge."""

    def __init__(self, folder: Path, edge: str) -> None:
        with np.load(folder / f"{edge.replace(' ', '_')}.npz", allow_pickle=False) as file:
            self._file = {name: file[name] for name in file.files}
        self.edge = edge
        self._row = {str(name): row for row, name in enumerate(self._file["names"])}
        self._all = self._spectra("names", "")
        self._population = self._spectra("population_names", "population_")

    def truths(self, part: str) -> list[str]:
        """Return the truths of one part that could be predicted."""
        names, parts = self._file["truth_names"], self._file["truth_parts"]
        return [str(name) for name in names[parts == part] if str(name) in self._row]

    def case(self, name: str, study: str) -> Case | None:
        """Return a truth with its candidates, None where there is no other."""
        row = self._row[name]
        formulas = self._file["formulas"]
        if study == "isomers":
            others = [int(one) for one in np.flatnonzero(formulas == formulas[row]) if one != row]
        else:  # isomers first, then the others, in the fixed random order
            known = [self._row[other] for other in (*self.truths("validate"), *self.truths("test")) if other != name]
            others = sorted(known, key=lambda one: (formulas[one] != formulas[row], one))
        # where all are equally probable the first one counts as named: it must not always be the truth
        chosen = sorted([row, *others[: MOST - 1]], key=lambda one: sha256(self._file["names"][one].encode()).digest())
        if len(chosen) < 2:
            return None
        spectra = select(self._all, chosen)
        if study == "perfect":
            spectra = self._computed(spectra)
        place = int(np.flatnonzero(self._file["truth_names"] == name)[0])
        computed = self._file["truth_spectra"][place].astype(np.float64)
        prediction = Prediction(spectra, self._population, ())
        return Case(self.edge, name, self._file["truth_energy"], computed, prediction, chosen.index(row))

    def _computed(self, spectra: PredictedSpectra) -> PredictedSpectra:
        """Put computed spectra in the place of the predicted ones, without error."""
        place = {str(name): index for index, name in enumerate(self._file["truth_names"])}
        rows = self._file["truth_spectra"][[place[name] for name in spectra.candidate], NOMINAL]
        mean = np.array([np.interp(spectra.energy, self._file["truth_energy"], row) for row in rows])
        none = np.zeros((len(spectra), 1, len(spectra.energy)))
        return replace(spectra, mean=mean, std=np.zeros_like(mean), factors=none, supported=np.ones(len(spectra), dtype=bool))

    def _spectra(self, names: str, prefix: str) -> PredictedSpectra:
        arrays: dict[str, Any] = {name: self._file[prefix + name] for name in PER_CANDIDATE}
        arrays = {name: array if array.dtype == bool else array.astype(np.float64) for name, array in arrays.items()}
        return PredictedSpectra(
            edge=self.edge,
            candidate=tuple(map(str, self._file[names])),
            energy=self._file["energy"],
            model=str(self._file["model"]),
            **arrays,
        )


def run_case(case: Case, seeds: list[int], gap: Gap) -> list[Row]:
    """Measure one truth with every strategy, once per seed; with seed 0 also when it is not on the list."""
    question = Question.of(case.prediction, gap, noise_of(case.edge), case.truth)
    absent = question.without_truth()
    rows: list[Row] = []
    for seed in seeds:
        sample, settings = drawn(case, seed)
        about = {"edge": case.edge, "truth": case.name, "seed": seed}
        rows.append({**about, **measured(sample, settings, question, everything=True)})
        if absent is not None and seed == 0:
            rows.append({**about, **measured(sample, settings, absent, everything=False)})
    return rows


def drawn(case: Case, seed: int) -> tuple[Callable[[Array], Array], BeamlineSettings]:
    """Draw a run's resolution, energy offset and counting noise; returns the sample and the beamline."""
    random = np.random.default_rng([seed, *case.name.encode()])
    settings = BeamlineSettings(seed=int(random.integers(2**31)), energy_offset=random.uniform(-OFFSET, OFFSET))
    return _interpolating(case.energy, case.spectra[random.choice(RESOLUTIONS)]), settings


def noise_of(edge: str) -> float:
    """Return the variance of the conventional scan's normalized points, at the edge step."""
    beamline = BeamlineSettings()
    photons = beamline.flux * beamline.i0_efficiency * beamline.fluorescence_yield * float(conventional_scan(edge).dwell.max())
    return (1 + beamline.background_ratio) / photons


def measured(sample: Callable[[Array], Array], settings: BeamlineSettings, question: Question, *, everything: bool) -> Row:
    """Measure a sample with all strategies (or only with the conventional scan and ours), and ask whose spectrum it is."""
    edge = question.prediction.spectra.edge

    def run(measure: Measure) -> tuple[Beamline, str]:
        beamline = Beamline(sample, find_edge(edge).energy, settings)
        return beamline, measure(beamline, question)

    row: Row = {
        "present": question.truth is not None,
        "candidates": len(question.prediction.spectra),
        "groups": len(question.groups),
        "in_time": {},
        "families": {},
        "reasons": {},
    }
    strategies: Mapping[str, Measure] = in_time(edge)
    for name in strategies if everything else ("conventional", "ours"):
        beamline, row["reasons"][name] = run(strategies[name])
        times = checkpoints() if everything else np.array([np.inf])
        row["in_time"][name] = _asked(beamline, question, times)
    for name, members in families(edge).items() if everything else ():
        finished = (run(member)[0] for member in members)
        row["families"][name] = [_asked(beamline, question, np.array([np.inf]))[0] for beamline in finished]
    return row


def _asked(beamline: Beamline, question: Question, times: Array) -> list[Row]:
    """Ask at each time (s) what is known by then; when nothing was measured since the last time, the answer stays."""
    rows: list[Row] = []
    belief = question.belief()
    for time in times:
        spent = beamline.spent(time)
        if rows and rows[-1]["points"] == spent.points:
            rows.append(rows[-1])
            continue
        answer = question.answer(belief, beamline.absorption(time))
        rows.append({"seconds": round(spent.seconds, 2), "photons": spent.photons, "points": spent.points, **plain(answer)})
    return rows


def _interpolating(energy: Array, spectrum: Array) -> Callable[[Array], Array]:
    def mu(at: Array) -> Array:
        return np.interp(at, energy, spectrum)

    return mu
