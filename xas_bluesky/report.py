"""Answers as a person reads them in a terminal."""

from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Group, RenderableType
from rich.table import Column, Table
from rich.text import Text

from xas_bluesky.agent import Step
from xas_bluesky.comparison import Fit, Identification, Mixture
from xas_bluesky.outcome import Outcome
from xas_bluesky.replaying import Replayed, difference_of
from xas_bluesky.spectra import ReducedScan

SHOWN = 8
MAIN_FIGURES = {
    "structures": "structures",
    "L1": "relative_l1",
    "of mean": "relative_l1_mean_spectrum",
    "peak 1 eV": "peak_within_1_eV",
    "0.5 eV": "peak_within_0.5_eV",
    "in 68 %": "coverage_68",
    "in 95 %": "coverage_95",
    "rank corr.": "rank_correlation_expected_error",
}
"""Column and figure; all figures are in the JSON."""


def scan_summary(scan: ReducedScan) -> dict[str, Any]:
    """Return what is known of a scan as plain JSON; what is not known is null, and `unknown` says why."""
    said, found = scan.spectrum.metadata, scan.normalized
    return {
        **{name: said.get(name) for name in ("uid", "sample", "edge", "exit_status")},
        "points": len(scan.spectrum),
        "missing": said.get("missing", 0),
        "stage": scan.stage,
        "signal": scan.absorption.signal,
        "noise": scan.absorption.noise,
        "e0": found.e0 if found else None,
        "edge_step": found.edge_step if found else None,
        "shift": scan.shift,
        "reference_e0": scan.reference_e0,
        "flags": {reason: mask.nonzero()[0].tolist() for reason, mask in scan.absorption.flags.items()},
        "unknown": dict(scan.unknown),
        "remarks": list(scan.remarks),
    }


def scan_line(scan: ReducedScan) -> str:
    """Return what is known of a scan as a line of text."""
    said, found = scan.spectrum.metadata, scan.normalized
    what = " ".join(str(said[name]) for name in ("sample", "edge") if name in said) or "a scan"
    known = f"e0 {found.e0:.2f} eV, edge step {found.edge_step:.4g}" if found else scan.unknown.get("e0", "")
    ended = f", {said['exit_status']}" if "exit_status" in said else ""
    return f"{str(said.get('uid', ''))[:8]} {what}: {len(scan.spectrum)} points, {scan.stage}{ended}; {known}"


def answer_table(answer: Identification, title: str = "") -> RenderableType:
    """Return the leading candidates and the groups as a table."""
    table = Table("candidate", "probability", "energy shift / eV", "cannot be told apart from", title=title or None)
    for ranked in answer.ranking[:SHOWN]:
        others = [name for name in answer.groups[ranked.group].members if name != ranked.candidate]
        table.add_row(ranked.candidate, f"{ranked.probability:.3f}", f"{ranked.energy_shift:+.2f}", ", ".join(others) or "–")
    if len(answer.ranking) > SHOWN:
        rest = sum(ranked.probability for ranked in answer.ranking[SHOWN:])
        table.add_row(f"{len(answer.ranking) - SHOWN} more", f"{rest:.3f}", "", "")
    table.add_row("none of these", f"{answer.none_of_these:.3f}", "", "", style="italic")
    return table


def identification_report(
    answer: Identification, mixtures: Sequence[Mixture] | None = None, fits: Sequence[Fit] | None = None
) -> RenderableType:
    """Return an answer as a table, and below it the mixtures and the fits by references, where they are given."""
    tables = [answer_table(answer)]
    if mixtures is not None:
        tables.append(mixture_table(mixtures))
    if fits is not None:
        tables.append(fit_table(fits))
    return Group(*tables)


def mixture_table(mixtures: Sequence[Mixture]) -> RenderableType:
    """Return the leading mixtures of two candidates as a table, with the share of each and the probability."""
    table = Table("mixture", Column("of the absorbers", justify="right"), "probability", title="mixtures of two")
    for mixture in mixtures[:SHOWN]:
        shares = f"{mixture.fraction:.2f} + {1 - mixture.fraction:.2f} (± {mixture.fraction_sd:.2f})"
        table.add_row(f"{mixture.first} + {mixture.second}", shares, f"{mixture.probability:.3f}")
    return table


def fit_table(fits: Sequence[Fit]) -> RenderableType:
    """Return the leading fits by references as a table, the best first."""
    table = Table("references", "weights", "R-factor", "reduced χ²", "AIC", title="fits by measured references")
    for fit in fits[:SHOWN]:
        weights = [f"{weight:.3f} ± {error:.3f}" for weight, error in zip(fit.weights, fit.errors, strict=True)]
        figures = (f"{fit.r_factor:.5f}", f"{fit.reduced_chi_square:.3g}", f"{fit.aic:.1f}")
        table.add_row("\n".join(fit.references), "\n".join(weights), *figures)
    return table


def step_table(step: Step) -> RenderableType:
    """Return the live table of one step: points measured, what comes next, and the leading candidates."""
    request = step.decision.request
    coming = f"next: {', '.join(f'{energy:.1f}' for energy in request.energy)} eV" if request else "stop"
    title = f"{step.spent.points} points, {step.spent.seconds:.0f} s · {step.decision.reason} · {coming}"
    if step.decision.answer is None:
        return Text(title)
    return answer_table(step.decision.answer, title)


def outcome_report(outcome: Outcome, query: str) -> RenderableType:
    """Return the whole outcome of a run, and how to query it."""
    spending = Table("", "points", "seconds", "photons", title="spent")
    for name, spent in (("agent", outcome.spent), ("conventional scan", outcome.conventional)):
        spending.add_row(name, str(spent.points), f"{spent.seconds:.0f}", f"{spent.photons:.3g}")
    groups = [f"  {group.probability:.3f}  {', '.join(group.members)}" for group in outcome.answer.groups]
    return Group(
        answer_table(outcome.answer, "ranking"),
        "groups of candidates that their spectra cannot tell apart:",
        *groups,
        spending,
        f"stopped: {outcome.stop_reason}",
        f"raw run: {outcome.raw_uid}",
        f"query:   {query}",
    )


def results_table(found: Sequence[dict[str, Any]]) -> RenderableType:
    """Return analysis records as a table, uids by their first characters; say so where there are none."""
    if not found:
        return "nothing found (a sample, and a candidate's name or InChIKey, count as they were written, and whole)"
    uids = (Column("raw run", no_wrap=True), Column("record", no_wrap=True))
    table = Table("sample", "edge", "best candidate", "probability", "none of these", "points", *uids)
    for record in found:
        best = record["ranking"][0]
        numbers = (f"{best['probability']:.3f}", f"{record['none_of_these']:.3f}", str(record["points"]))
        table.add_row(
            record["sample"], record["edge"], best["candidate"], *numbers, record["raw_uid"][:8], record["record"][:8]
        )
    return table


def replay_report(replayed: Replayed) -> RenderableType:
    """Return a replay as a table, a row a decision, and below it what it comes to."""
    right = [Column(head, justify="right") for head in ("decision", "from points", "asks for", "off by")]
    table = Table(*right, "reason", title="decisions, replayed")
    differs = replayed.first_difference
    for index, (was, now) in enumerate(replayed.pairs):
        asked = f"{len(was.energy)}" if was.energy == now.energy else f"{len(was.energy)}, now {len(now.energy)}"
        wrong = differs is not None and differs.decision == index
        points = str(now.spent.points) if now.spent else ""
        table.add_row(str(index), points, asked, f"{difference_of(was, now):.1g}", was.reason, style="bold" if wrong else "")
    here = replayed.to_json()
    versions = f"by version {here['version']}; here it is {here['version_here']}"
    said = (
        f"all {len(replayed.again)} decisions come out as recorded"
        if differs is None
        else f"decision {differs.decision} differs: {differs.what}, recorded {differs.recorded}, replayed {differs.replayed}"
    )
    return Group(
        table,
        f"{said}; probabilities differ by {replayed.largest_difference:.1g} at most",
        f"recorded {versions}; the spectra are those recorded, of model {replayed.record.model}",
    )


def figures_table(figures: Mapping[str, Mapping[str, float]]) -> RenderableType:
    """Return a trained model's main figures as a table: one row for each edge and part of the data."""
    table = Table("", *(Column(head, justify="right") for head in MAIN_FIGURES))
    for name, found in figures.items():
        table.add_row(name, *(f"{found[figure]:g}" if figure in found else "" for figure in MAIN_FIGURES.values()))
    return table
