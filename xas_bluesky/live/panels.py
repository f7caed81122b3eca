"""The picture of one scan: mu, i0 and the reference, over earlier scans of the same sample and edge."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from xas_bluesky.spectra import Absorption, Array, ReducedScan

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D

GREY = "0.75"
MARK_COLOURS = ("C1", "C3", "C2", "C4", "C5", "C6", "C8", "C9")
CROSS, CIRCLE = "x", "o"
MARGINS = {"left": 0.12, "right": 0.98, "bottom": 0.07, "top": 0.9, "hspace": 0.06}
"""Fixed, as an automatic layout doubles the time of drawing; room for three remarks above."""


@dataclass(frozen=True, slots=True)
class _Curve:
    """Hold a line of one panel, by energy, and its marked points: (label, marker, colour) -> (energy, y)."""

    label: str
    energy: Array
    y: Array
    marks: Mapping[tuple[str, str, str], tuple[Array, Array]] = field(
        default_factory=dict[tuple[str, str, str], tuple[Array, Array]]
    )


def same_subject(one: ReducedScan, other: ReducedScan) -> bool:
    """Say whether two scans are of the same sample and edge."""
    return all(one.spectrum.metadata.get(key) == other.spectrum.metadata.get(key) for key in ("sample", "edge"))


class Panels:
    """Draw scans into a figure, a panel for each of mu, i0 and the reference that the scan has.

    mu is raw while the scan is partial and normalized once it is whole. Points left out are crosses, moved to the
    panel's edge where they lie off the scale of the rest; suspect points are open circles.
    """

    def __init__(self, figure: "Figure") -> None:
        self.figure = figure
        self._panels: dict[str, _Panel] = {}
        self._layout: object = None

    def draw(self, current: ReducedScan, earlier: Sequence[ReducedScan]) -> None:
        """Draw the current scan in colour and the earlier ones in grey."""
        normalized = current.normalized is not None
        curves = _curves(current, normalized)
        layout = (
            current.spectrum.metadata.get("sample"),
            current.spectrum.metadata.get("edge"),
            {name: curve.label for name, curve in curves.items()},
        )
        if layout != self._layout:  # else what the user zoomed into stays
            self._lay_out(curves)
            self._layout = layout
        before = [_curves(scan, normalized) for scan in earlier if not normalized or scan.normalized is not None]
        for name, curve in curves.items():
            alike = [other[name] for other in before if name in other and other[name].label == curve.label]
            self._panels[name].draw(curve, alike)
        self.figure.suptitle(_title(current), fontsize=11)
        self._panels["mu"].axes.set_title("\n".join(current.remarks), fontsize=8, color="C3", wrap=True)

    def _lay_out(self, curves: Mapping[str, _Curve]) -> None:
        self.figure.clear()
        grid = {"height_ratios": [5 if name == "mu" else 2 for name in curves], **MARGINS}
        column = self.figure.subplots(len(curves), 1, sharex=True, squeeze=False, gridspec_kw=grid)[:, 0]
        self._panels = {name: _Panel(axes, curve.label) for axes, (name, curve) in zip(column, curves.items(), strict=True)}
        column[-1].set_xlabel("energy / eV")


class _Panel:
    def __init__(self, axes: "Axes", label: str) -> None:
        self.axes = axes
        axes.set_ylabel(label)
        axes.grid(color="0.93")
        (self._earlier,) = axes.plot([], [], color=GREY, lw=0.8)
        (self._current,) = axes.plot([], [], ".-", color="C0", ms=4, lw=1.2)
        self._marks: list[Line2D] = []

    def draw(self, curve: _Curve, earlier: Sequence[_Curve]) -> None:
        gap = [np.nan]
        self._earlier.set_data(
            np.concatenate([part for other in earlier for part in (other.energy, gap)] or [gap]),
            np.concatenate([part for other in earlier for part in (other.y, gap)] or [gap]),
        )
        self._current.set_data(curve.energy, curve.y)
        for line in self._marks:
            line.remove()
        self._marks = [
            self.axes.plot(*points, marker, color=colour, mfc="none", ms=8, label=label)[0]
            for (label, marker, colour), points in curve.marks.items()
        ]
        if self._marks:
            self.axes.legend(handles=self._marks, loc="lower right", fontsize=8)
        elif legend := self.axes.get_legend():
            legend.remove()
        self.axes.relim()
        self.axes.autoscale_view()


def _curves(scan: ReducedScan, normalized: bool) -> dict[str, _Curve]:
    """Return the scan's panels; all energies as calibrated, so that they share an axis."""
    mu, label = scan.absorption.mu, f"raw mu, {scan.absorption.signal}"
    if normalized and (found := scan.normalized) is not None:
        mu = (mu - np.interp(scan.absorption.energy, found.energy, found.pre_edge)) / found.edge_step
        label = "mu / edge step"
    curves = {"mu": _absorption_curve(label, scan.absorption, scan.absorption.energy, mu)}
    if "i0" in scan.spectrum.channels:
        curves["i0"] = _i0_curve(scan)
    if scan.reference is not None:
        energy = scan.reference.energy + scan.shift
        curves["reference"] = _absorption_curve("reference, raw mu", scan.reference, energy, scan.reference.mu)
    return curves


def _i0_curve(scan: ReducedScan) -> _Curve:
    spectrum = scan.spectrum
    order = np.argsort(spectrum.energy, kind="stable")
    i0, label = spectrum.channels["i0"], "i0 / counts"
    if "dwell" in spectrum.channels:  # dwell times differ between regions
        dwell = spectrum.channels["dwell"]
        i0, label = np.divide(i0, dwell, out=np.full(len(i0), np.nan), where=dwell > 0), "i0 / (counts/s)"
    return _Curve(label, spectrum.energy[order] + scan.shift, i0[order])


def _absorption_curve(label: str, absorption: Absorption, energy: Array, mu: Array) -> _Curve:
    usable = absorption.usable
    order = np.flatnonzero(usable)[np.argsort(energy[usable], kind="stable")]
    marks: dict[tuple[str, str, str], tuple[Array, Array]] = {}
    for index, (reason, points) in enumerate(absorption.flags.items()):
        colour = MARK_COLOURS[index % len(MARK_COLOURS)]
        for kind, marker, marked in (("left out", CROSS, points & ~usable), ("suspect", CIRCLE, points & usable)):
            if count := int(marked.sum()):
                marks[f"{reason}: {count} {kind}", marker, colour] = (energy[marked], _on_scale(mu, usable)[marked])
    return _Curve(label, energy[order], mu[order], marks)


def _on_scale(mu: Array, usable: NDArray[np.bool_]) -> Array:
    """Return mu within the range of the usable points, so that a spike does not squeeze the rest."""
    scale = mu[usable] if usable.any() else np.zeros(1)
    low, high = float(scale.min()), float(scale.max())
    return np.clip(np.nan_to_num(mu, nan=low), low, high)


def _title(scan: ReducedScan) -> str:
    metadata = scan.spectrum.metadata
    edge = f"{metadata['edge']} edge" if "edge" in metadata else ""
    uid = f"scan {str(metadata['uid'])[:8]}" if "uid" in metadata else ""
    parts = (str(metadata.get("sample", "")), edge, uid, f"{len(scan.spectrum)} points", scan.stage)
    return " · ".join(part for part in parts if part)
