"""The command line: one command per verb."""

import json
import logging
import os
import sys
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import asdict
from functools import partial, wraps
from pathlib import Path
from typing import Annotated, Any, BinaryIO, ParamSpec

import typer

from xas_bluesky.errors import SettingsError, SpectrumError, XASError

app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False, help=__doc__)

CANDIDATE_FILE = ".smi, .csv with the columns name and smiles, .sdf, .xyz, .cif or POSCAR"
MOLECULE_FILE = ".smi, .csv with the columns name and smiles, .sdf or .xyz"
Candidates = Annotated[Path, typer.Argument(help=CANDIDATE_FILE)]
CandidatesOption = Annotated[Path, typer.Option("--candidates", help=CANDIDATE_FILE)]
SpectrumFile = Annotated[Path, typer.Argument(help="XDI, csv with energy_eV and mu_raw, or two columns")]
Edge = Annotated[str, typer.Option(help='the absorption edge, as in "S K"')]
AsJson = Annotated[bool, typer.Option("--json", help="print one JSON object and nothing else")]
CatalogPlace = Annotated[str, typer.Option("--catalog", help="a folder, or the URL of a Tiled server")]

DEFAULT_CATALOG = "runs"


Parameters = ParamSpec("Parameters")


def explained(command: Callable[Parameters, None]) -> Callable[Parameters, None]:
    """Turn this package's errors into one sentence and exit code 2."""

    @wraps(command)
    def run(*args: Parameters.args, **kwargs: Parameters.kwargs) -> None:
        try:
            command(*args, **kwargs)
        except XASError as error:
            print(f"xas-bluesky: {error}", file=sys.stderr)
            raise typer.Exit(2) from error

    return run


@app.command()
@explained
def predict(
    candidates: Candidates,
    edge: Edge,
    output: Annotated[Path, typer.Option("-o", help="npz to write")],
    device: Annotated[str, typer.Option(help="auto, cpu, cuda, or GPUs by number, as in cuda:0,1")] = "auto",
    conformers: Annotated[int, typer.Option(min=1, help="of a molecule without positions, to average over")] = 1,
    model: Annotated[
        str, typer.Option(help="shipped, reference (the published kind), or a folder that train wrote")
    ] = "shipped",
    as_json: AsJson = False,
) -> None:
    """Predict the candidates' spectra, with their standard deviations."""
    import numpy as np

    from xas_bluesky.files import read_candidates
    from xas_bluesky.outcome import warnings_of
    from xas_bluesky.predictor_client import LocalPredictor

    listed = read_candidates(candidates)
    with LocalPredictor(device, os.cpu_count() or 1, model) as predictor:
        prediction = predictor.predict(listed, edge, conformers)
    spectra = prediction.spectra
    written = ("candidate", "energy", "mean", "std", "ionization", "distance", "supported")
    arrays = {name: np.asarray(getattr(spectra, name)) for name in written}
    with _writing(output) as file:
        np.savez_compressed(file, allow_pickle=False, **arrays)
    _warn(warnings_of(prediction))
    found = {
        "output": str(output),
        "candidates": list(spectra.candidate),
        "warnings": warnings_of(prediction),
        "model": spectra.model,
    }
    _show(found, as_json, f"{len(spectra)} spectra written to {output}")


@app.command()
@explained
def identify(
    spectrum: SpectrumFile,
    candidates: CandidatesOption,
    edge: Edge,
    references: Annotated[
        list[Path] | None,
        typer.Option(help="measured spectrum, or folder of them, to fit this one by; give it again for another"),
    ] = None,
    mixtures: Annotated[bool, typer.Option("--mixtures", help="weigh mixtures of two candidates, too")] = False,
    as_json: AsJson = False,
) -> None:
    """Identify a measured spectrum among candidates, or none of them."""
    from xas_bluesky.comparison import Gap, find_mixtures, identify, make_hypotheses, rank_references, read_references
    from xas_bluesky.files import read_candidates, read_spectrum
    from xas_bluesky.outcome import warnings_of
    from xas_bluesky.predictor_client import LocalPredictor
    from xas_bluesky.reduction import absorption
    from xas_bluesky.report import identification_report

    known, listed, gap = read_spectrum(spectrum), read_candidates(candidates), Gap.for_edge(edge)
    measured_references = read_references(references or [], edge, leave_out=spectrum)
    with LocalPredictor() as predictor:
        prediction = predictor.predict(listed, edge)
    with _about(spectrum):
        measured = absorption(known)
        hypotheses = make_hypotheses(prediction.spectra, prediction.population, gap.for_signal(measured.signal))
        answer = identify(measured, hypotheses)
        mixed = find_mixtures(measured, hypotheses) if mixtures else None
        fits = rank_references(measured, measured_references) if references else None
    warnings = [*warnings_of(prediction), *Gap.doubts(edge)]
    _warn(warnings)
    found = {**asdict(answer), "warnings": warnings}
    if mixed is not None:
        found["mixtures"] = [asdict(mixture) for mixture in mixed]
    if fits is not None:
        found["fingerprint"] = [asdict(fit) for fit in fits]
    _show(found, as_json, identification_report(answer, mixed, fits))


@app.command()
@explained
def simulate(
    spectrum: SpectrumFile,
    candidates: CandidatesOption,
    edge: Edge,
    catalog: CatalogPlace = DEFAULT_CATALOG,
    seed: Annotated[int, typer.Option(min=0, help="of the simulated noise")] = 0,
    as_json: AsJson = False,
) -> None:
    """Measure a known spectrum on the simulated beamline, steered by the agent."""
    from xas_bluesky.beamline_sim import BeamlineSettings
    from xas_bluesky.files import read_candidates, read_spectrum
    from xas_bluesky.predictor_client import LocalPredictor
    from xas_bluesky.report import outcome_report
    from xas_bluesky.results import open_catalog
    from xas_bluesky.simulation import simulate

    known, listed, settings = read_spectrum(spectrum), read_candidates(candidates), BeamlineSettings(seed=seed)
    with LocalPredictor() as predictor, open_catalog(catalog) as opened, _about(spectrum):
        outcome = simulate(known, listed, edge, spectrum.stem, predictor, opened, settings=settings)
        command = opened.query_command()
    found = outcome.to_json()
    _warn(found["warnings"])
    _show(found, as_json, outcome_report(outcome, command))


@app.command()
@explained
def results(
    catalog: CatalogPlace = DEFAULT_CATALOG,
    sample: Annotated[str | None, typer.Option(help="only this sample")] = None,
    candidate: Annotated[str | None, typer.Option(help="only records that rank it: a name or an InChIKey")] = None,
    formula: Annotated[str | None, typer.Option(help="only records that rank a candidate of this formula")] = None,
    min_probability: Annotated[float | None, typer.Option(help="of the candidate, or of the best one")] = None,
    edge: Annotated[str | None, typer.Option(help='only this edge, as in "S K"')] = None,
    since: Annotated[str | None, typer.Option(help="answered at or after this date or time, as in 2026-12-01")] = None,
    until: Annotated[str | None, typer.Option(help="answered before this time, or on this day or earlier")] = None,
    stop_reason: Annotated[str | None, typer.Option(help="why it stopped: sure, budget, interrupted, …")] = None,
    model: Annotated[str | None, typer.Option(help="only answers of the model with this hash")] = None,
    limit: Annotated[int, typer.Option(help="list so many, the newest")] = 100,
    as_json: AsJson = False,
) -> None:
    """List what the catalog holds, newest first."""
    from xas_bluesky.report import results_table
    from xas_bluesky.results import open_catalog

    with open_catalog(catalog, create=False) as opened:
        found = opened.search(
            sample=sample,
            candidate=candidate,
            formula=formula,
            min_probability=min_probability,
            edge=edge,
            since=since,
            until=until,
            stop_reason=stop_reason,
            model=model,
            limit=limit,
        )
    _show({"results": found}, as_json, results_table(found))


@app.command()
@explained
def replay(
    record: Annotated[str, typer.Argument(help="the record's key, as results gives it")],
    catalog: CatalogPlace = DEFAULT_CATALOG,
    as_json: AsJson = False,
) -> None:
    """Recompute a record's decisions from its raw runs and what was predicted; exit code 1 when they differ."""
    from xas_bluesky.replaying import replay_record
    from xas_bluesky.report import replay_report
    from xas_bluesky.results import open_catalog

    with open_catalog(catalog, create=False) as opened:
        replayed = replay_record(opened, record)
    _show({"record": record, **replayed.to_json()}, as_json, replay_report(replayed))
    if replayed.first_difference is not None:
        raise typer.Exit(1)


@app.command()
@explained
def watch(
    catalog: Annotated[str | None, typer.Option("--catalog", help="a folder, or the URL of a Tiled server, to follow")] = None,
    zmq: Annotated[str | None, typer.Option("--zmq", metavar="HOST:PORT", help="a proxy of documents to follow")] = None,
    keys: Annotated[Path | None, typer.Option(help="folder of CURVE keys: server.key and one *.key_secret")] = None,
    settings: Annotated[Path | None, typer.Option(help="a beamline.toml")] = None,
    xdi: Annotated[Path | None, typer.Option(help="folder for an XDI file of each run")] = None,
    runs: Annotated[int | None, typer.Option(min=1, help="end after so many runs")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="print a JSON object a line and nothing else")] = False,
) -> None:
    """Follow absorption scans on another machine: reduce them while they are measured, and keep them."""
    from xas_bluesky.watching import watch

    watch(catalog, zmq, keys, settings, xdi, runs, as_json, say=partial(print, flush=True))


@app.command()
@explained
def ioc(
    spectra: Annotated[list[Path], typer.Argument(help="measured spectra, a slot of the stage each: XDI, csv, two columns")],
    edge: Edge,
    prefix: Annotated[str, typer.Option(help="of all PVs")] = "XAS:",
    settings: Annotated[Path | None, typer.Option(help="beamline.toml to write for it")] = None,
    interface: Annotated[str, typer.Option(help="address to serve on; only this computer reaches the default")] = "127.0.0.1",
    port: Annotated[
        int | None, typer.Option(min=1, max=65535, help="by default EPICS_CA_SERVER_PORT, else 5064", show_default=False)
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="of the simulated noise")] = 0,
    time_scale: Annotated[float, typer.Option(min=0, help="seconds that a simulated second takes")] = 1.0,
) -> None:
    """Serve a simulated beamline over EPICS Channel Access until interrupted."""
    from xas_bluesky.beamline_sim import BeamlineSettings
    from xas_bluesky.beamline_sim.ioc import ServedBeamline, serve
    from xas_bluesky.beamline_sim.ioc_settings import beamline_toml
    from xas_bluesky.files import read_spectrum

    known = [read_spectrum(path) for path in spectra]
    beamline = ServedBeamline(known, edge, BeamlineSettings(seed=seed, time_scale=time_scale, backlash=0.05), prefix)

    def ready(port: int) -> None:
        if settings is not None:
            with _writing(settings) as file:
                file.write(beamline_toml(prefix, len(known), f"{interface}:{port}").encode())
        told = settings or "give --settings FILE for its beamline.toml"
        print(f"ready: PVs {prefix}* at {interface}:{port}; {told}", flush=True)

    serve(beamline, interface, port, ready)


@app.command()
@explained
def demo(
    catalog: CatalogPlace = "demo/catalog",
    output: Annotated[Path, typer.Option("-o", help="the picture to write")] = Path("demo/demo.png"),
    as_json: AsJson = False,
) -> None:
    """Show the whole: what has become of the sulfur in a sample that is methionine sulfone."""
    from xas_bluesky.demo import run_demo

    run_demo(catalog, output, as_json)


@app.command()
@explained
def compute(
    molecules: Annotated[Path, typer.Argument(help=MOLECULE_FILE)],
    edge: Annotated[list[str], typer.Option(help='an absorption edge, as in "C K"; give it again for another')],
    output: Annotated[Path, typer.Option("-o", help="data set to write, or to go on with")],
    workers: Annotated[int | None, typer.Option(help="molecules at a time; by default, one per core")] = None,
    ray: Annotated[str | None, typer.Option(metavar="ADDRESS", help="of a Ray cluster: auto, local or host:port")] = None,
    retry_failures: Annotated[bool, typer.Option("--retry-failures", help="try again what failed before")] = False,
    as_json: AsJson = False,
) -> None:
    """Compute core excitations from first principles; stopped or killed, the same command goes on."""
    from xas_bluesky.theory.campaign import compute_file

    summary = compute_file(molecules, edge, output, workers, ray, retry_failures)
    _show(asdict(summary), as_json, str(summary))


@app.command()
@explained
def train(
    config: Annotated[Path, typer.Argument(help="TOML: data, output, work, networks, epochs, …")],
    devices: Annotated[int, typer.Option(min=1, help="GPUs, or processes on CPUs, that share each network's batches")] = 1,
    as_json: AsJson = False,
) -> None:
    """Train a model and write it with its figures; stopped or killed, the same command goes on."""
    from xas_bluesky.report import figures_table
    from xas_bluesky.training.fit import train
    from xas_bluesky.training.settings import TrainingSettings

    figures = train(TrainingSettings.read(config), f"xas-bluesky train {config}", devices)
    _show(figures, as_json, figures_table(figures))


def main() -> None:
    """Run the command line."""
    logging.basicConfig(level=logging.WARNING, format="xas-bluesky: %(message)s")
    app()


def _show(found: dict[str, Any], as_json: bool, else_show: object) -> None:
    if as_json:
        print(json.dumps(found, allow_nan=False))
    elif isinstance(else_show, str):
        print(else_show)
    else:
        from rich.console import Console

        Console().print(else_show)


def _warn(warnings: list[str]) -> None:
    for warning in warnings:
        print(f"xas-bluesky: warning: {warning}", file=sys.stderr)


@contextmanager
def _about(path: Path) -> Generator[None]:
    """Name the file in errors about the spectrum that it holds."""
    try:
        yield
    except SpectrumError as error:
        raise SpectrumError(f"{path}: {error}") from error


@contextmanager
def _writing(path: Path) -> Generator[BinaryIO]:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("wb") as file:
            yield file
    except OSError as error:
        raise SettingsError(f"{path}: cannot be written ({error.strerror}); name another output") from error


if __name__ == "__main__":
    main()
