"""The plans that people type, and that the queue server lists: plain words in, each of them checked before anything moves."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any, TypeGuard

import bluesky.plan_stubs as bps
from bluesky.utils import MsgGenerator

from xas_bluesky.asking import budget_of, candidates_of, said, sample_of
from xas_bluesky.decision import Budget, ScanRequest, regions
from xas_bluesky.edges import Edge, find_edge, nearest_edges
from xas_bluesky.errors import EdgeError, SettingsError
from xas_bluesky.investigation import Sample
from xas_bluesky.outcome import Outcome
from xas_bluesky.plans import limits_of, reachable, xas_scan
from xas_bluesky.rounds import GoTo
from xas_bluesky.session import Session


class UserPlans:
    """Bind the plans to one session's devices.

    `edge`: that of later plans which name none, as `change_edge` set it. The queue server takes bound methods for plans, and
    reads the parameters' types and descriptions from the signatures and docstrings: hence their form here.
    """

    def __init__(self, session: Session) -> None:
        self.session = session
        self.edge: Edge | None = None

    def xas(
        self,
        edge: str = "",
        bounds: str | list[Any] = "-30 -10 30 45",
        steps: str | list[Any] = "2 0.2 1",
        times: str | list[Any] | float = "1",
        sample: str = "unnamed",
        repeats: int = 1,
        spot: str = "",
        md: dict[str, Any] | None = None,
    ) -> MsgGenerator[tuple[str, ...]]:
        """Measure an absorption spectrum, region by region; return the uid of each repeat's run.

        Example: RE(xas("Cu K", bounds="-200 -30 -10 25 12k", steps="10 2 0.3 0.05k", times="0.5 0.5 1 0.25k", sample="foil"))

        Parameters
        ----------
        edge : str
            Element and level, as in "S K"; by default that of change_edge.
        bounds : str or list
            Where regions begin and end: eV from the edge, or Å⁻¹ with the suffix k, as in "-200 -30 -10 25 12k".
        steps : str or list
            One a region: eV, or Å⁻¹ with the suffix k, as in "10 2 0.3 0.05k".
        times : str, list or float
            Seconds a point, one a region or one for all; with the suffix k, times the point's k, as in "0.5 0.5 1 0.25k".
        sample : str
            Its name, as it is to be found again.
        repeats : int
            How often, each in a run of its own.
        spot : str
            Where on the sample.
        md : dict
            Further metadata of the runs.

        """
        found = self._edge(edge)
        if not _is_count(repeats):
            raise SettingsError(f"repeats: got {repeats!r}, expected a whole number from 1 on, as in repeats=3")
        request = self._reachable(regions(found.energy, bounds, steps, times))
        args = {"edge": str(found), "bounds": bounds, "steps": steps, "times": times, "sample": sample, "repeats": repeats}
        about = {**(md or {}), "plan_name": "xas", "plan_args": {**args, "spot": spot}, "spot": spot}
        session, devices = self.session, self.session.devices
        yield from session.prepared(Sample(_name(sample), (), spot))
        uids: list[str] = []
        for repeat in range(1, repeats + 1):
            uid = yield from xas_scan(
                devices.energy,
                devices.dwell,
                devices.detectors,
                request,
                edge=str(found),
                sample=sample,
                settings=devices.settings,
                md={**about, "repeat": repeat, "repeats": repeats},
                care=session.care,
            )
            uids.append(uid)
        return tuple(uids)

    def change_edge(self, edge: str, move: bool = True) -> MsgGenerator[str]:
        """Set the edge of the plans that follow, and move the mono to it; return its name.

        Example: RE(change_edge("Cu K")), and then RE(xas(sample="foil"))

        Parameters
        ----------
        edge : str
            Element and level, as in "Cu K".
        move : bool
            Whether the mono is moved to the edge's energy (eV), and the session's plans for a new edge are run.

        """
        found = self._edge(edge or " ")
        low, high = limits_of(self.session.devices.energy, self.session.devices.settings.mono)
        if not low <= found.energy <= high:
            raise SettingsError(
                f"edge {found}: it lies at {found.energy:.1f} eV, outside the mono's {low:g} to {high:g} eV; give another "
                "edge, or mend low and high of [mono] or the limits of the device"
            )
        if move:
            yield from bps.mv(self.session.devices.energy, found.energy)
            for prepare in self.session.after_change_edge:
                yield from prepare(found)
        else:
            yield from bps.null()
        self.edge = found
        return str(found)

    def agent_xas(
        self,
        candidates: str | list[Any],
        edge: str = "",
        sample: str = "unnamed",
        points: int | None = None,
        seconds: float | None = None,
        photons: float | None = None,
        budget: dict[str, Any] | None = None,
        spot: str = "",
        seed: int = 0,
        patience: float = 10.0,
        md: dict[str, Any] | None = None,
    ) -> MsgGenerator[Outcome]:
        """Measure where the candidates differ until one group of them, or none, is sure; return the outcome.

        Example: RE(agent_xas("list.smi", edge="S K", sample="lot 3", points=60, seconds=300))

        Parameters
        ----------
        candidates : str or list
            What the sample may be: path of a .smi, .csv, .sdf, … file, or a list of {"name": …, "structure": SMILES}.
        edge : str
            Element and level, as in "S K"; by default that of change_edge.
        sample : str
            Its name, as it is to be found again.
        points : int
            At most so many points; 120 by default.
        seconds : float
            At most so many seconds, motion and settling included.
        photons : float
            At most so many photons on the sample.
        budget : dict
            The limits in one: points, seconds, photons, dose (photons on the spot); in Python a Budget too.
        spot : str
            Where on the sample; its dose adds up over the session's runs.
        seed : int
            Written down with the answer.
        patience : float
            Seconds to wait for a decision before the conventional scan goes on.
        md : dict
            Further metadata of the run.

        """
        found = self._edge(edge)
        limits = budget_of(budget, points=points, seconds=seconds, photons=photons)
        listed = candidates_of(candidates)
        args = {"candidates": said(candidates), "edge": str(found), "sample": sample, "budget": _finite(limits)}
        about = {**(md or {}), "plan_name": "agent_xas", "plan_args": {**args, "spot": spot, "seed": seed}}
        name = _name(sample)
        plan = self.session.agent_xas(
            listed, str(found), name, spot=spot, budget=limits, md=about, seed=seed, patience=patience
        )
        return (yield from plan)

    def agent_xas_samples(
        self,
        samples: list[Any],
        edge: str = "",
        go_to: str = "stage",
        seconds: float | None = None,
        seed: int = 0,
        patience: float = 10.0,
        md: dict[str, Any] | None = None,
    ) -> MsgGenerator[tuple[Outcome | Exception, ...]]:
        """Divide the beam time among samples, each with its own candidates; return what each led to.

        Example: RE(agent_xas_samples([{"name": "lot 3", "candidates": "list.smi", "slot": 0}, {"name": "lot 4", "candidates":
        "list.smi", "slot": 1}], edge="S K", seconds=1200))

        Parameters
        ----------
        samples : list
            A dict each: name, candidates (as for agent_xas), slot of the stage (from 0), spot, priority (1 by default), and
            limits of its own: points, seconds, photons, dose; in Python a Sample too.
        edge : str
            Element and level, as in "S K"; by default that of change_edge.
        go_to : str
            How samples come into the beam: "stage", or the name of a plan in session.go_to; in Python a plan too.
        seconds : float
            At most so many seconds for all of them.
        seed : int
            Written down with the answers.
        patience : float
            Seconds to wait for a decision before the conventional scan goes on.
        md : dict
            Further metadata of the runs.

        """
        found = self._edge(edge)
        listed = [sample_of(sample) for sample in samples]
        if not listed:
            raise SettingsError('samples: got none; give a list of them, as in [{"name": "lot 3", "candidates": "list.smi"}]')
        reach = self._go_to(go_to, listed)
        args = {"samples": [each.name for each in listed], "edge": str(found), "go_to": said(go_to), "seconds": seconds}
        about = {**(md or {}), "plan_name": "agent_xas_samples", "plan_args": {**args, "seed": seed}}
        limit = math.inf if seconds is None else seconds
        plan = self.session.agent_xas_samples(listed, str(found), reach, seconds=limit, md=about, seed=seed, patience=patience)
        return (yield from plan)

    def _edge(self, name: str) -> Edge:
        if not name and self.edge is not None:
            return self.edge
        if not name:
            raise EdgeError('edge: none is named and none is set; give one, as in edge="S K", or RE(change_edge("S K")) once')
        try:
            return find_edge(str(name))
        except EdgeError as error:
            near = " or ".join(repr(edge) for edge in nearest_edges(str(name)))
            raise EdgeError(f"{error}; did you mean {near}?" if near else str(error)) from error

    def _reachable(self, request: ScanRequest) -> ScanRequest:
        return reachable(request, limits_of(self.session.devices.energy, self.session.devices.settings.mono))

    def _go_to(self, named: object, samples: Sequence[Sample]) -> GoTo:
        if _is_plan(named):
            return named
        known = self.session.go_to
        if not isinstance(named, str) or named not in known:
            there = ", ".join(repr(name) for name in known) or "none, as there is no stage"
            raise SettingsError(
                f"go_to: got {named!r}, expected one of {there}; or add your plan: session.go_to[{named!r}] = plan"
            )
        lost = [sample.name for sample in samples if sample.slot is None]
        if named == "stage" and lost:
            raise SettingsError(
                f'samples: no slot is given for {", ".join(lost)}; give where on the stage each is, as in "slot": 0'
            )
        return known[named]


def _is_plan(given: object) -> TypeGuard[GoTo]:
    return callable(given)


def _is_count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 1


def _name(sample: object) -> str:
    if not isinstance(sample, str) or not sample.strip():
        raise SettingsError(f'sample: got {sample!r}, expected its name, as in sample="lot 3"')
    return sample


def _finite(budget: Budget) -> Mapping[str, Any]:
    return {name: limit for name, limit in asdict(budget).items() if math.isfinite(limit)}
