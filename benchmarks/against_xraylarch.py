"""Compare e0 and edge step of measured files with xraylarch's: python benchmarks/against_xraylarch.py FOLDER [--json].

Every .xdi and .csv file below FOLDER is reduced by both from the file on: here with all that a live scan goes through
(flags, glitches left out), there by `read_xdi` or `read_ascii`, the same signal and `pre_edge` with its defaults. A file where
they differ is an exception; to find its reason, xraylarch is then given the very points that were normalized here.
"""

import json
import sys
import time
import warnings
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from larch import Group
from larch.io import read_ascii, read_xdi
from larch.xafs import pre_edge, sort_xafs

from xas_bluesky.errors import XASError
from xas_bluesky.files import read_spectrum
from xas_bluesky.reduction import reduce_scan
from xas_bluesky.spectra import Array, ReducedScan

E0_LIMIT = 0.1
STEP_LIMIT = 0.01
RATIOS = {
    "transmission": [("i0", "itrans"), ("i0", "i1"), ("i0", "it")],
    "fluorescence": [("ifluor", "i0"), ("fluor", "i0"), ("if", "i0")],
    "electron_yield": [("iyield", "i0"), ("iey", "i0"), ("tey", "i0")],
}
"""What xraylarch's users divide by what."""
HIGHEST_KEV = 200.0


@dataclass(frozen=True)
class Compared:
    """Hold one file: what xraylarch found less what was found here (eV; share of the step), and why they do not agree."""

    path: str
    seconds: float = np.nan
    larch_seconds: float = np.nan
    e0: float = np.nan
    edge_step: float = np.nan
    reason: str = ""

    @property
    def both(self) -> bool:
        """Say whether both reduced it."""
        return bool(np.isfinite(self.e0))

    @property
    def agrees(self) -> bool:
        """Say whether it is within the limits."""
        return abs(self.e0) <= E0_LIMIT and abs(self.edge_step) <= STEP_LIMIT


def compare(path: Path) -> Compared:
    """Reduce one file by both."""
    start = time.perf_counter()
    try:
        scan = reduce_scan(read_spectrum(path))
    except XASError as error:
        return Compared(str(path), reason=f"refused here: {error}")
    seconds = time.perf_counter() - start
    start = time.perf_counter()
    try:
        larch = reduced_by_larch(path, scan.absorption.signal)
    except Exception as error:  # xraylarch has no errors of its own
        return Compared(str(path), seconds, reason=f"xraylarch fails: {type(error).__name__}: {error}")
    larch_seconds = time.perf_counter() - start
    if scan.normalized is None:
        there = f"xraylarch: e0 {larch.e0:.1f} eV, edge step {larch.edge_step:.3g}"
        return Compared(str(path), seconds, larch_seconds, reason=f"refused here: {scan.unknown['norm']} ({there})")
    e0, edge_step = differences(larch, scan)
    found = Compared(str(path), seconds, larch_seconds, e0, edge_step)
    return found if found.agrees else Compared(**asdict(found) | {"reason": "; ".join(reasons(scan))})


def reduced_by_larch(path: Path, signal: str) -> Group:
    """Reduce a file as xraylarch's users do."""
    group = read_xdi(str(path)) if path.suffix == ".xdi" else read_ascii(str(path))
    energy = getattr(group, "energy", group.data[0])
    if energy.max() < HIGHEST_KEV:
        energy = 1000 * energy
    for above, below in RATIOS.get(signal, []):
        if hasattr(group, above) and hasattr(group, below):
            ratio = getattr(group, above) / getattr(group, below)
            return normalized_by_larch(energy, np.log(ratio) if signal == "transmission" else ratio)
    label = next((name for name in group.array_labels if "mu" in name or "norm" in name), group.array_labels[1])
    return normalized_by_larch(energy, getattr(group, label))


def normalized_by_larch(energy: Array, mu: Array) -> Group:
    """Normalize by xraylarch's defaults, sorted where needed as its users do."""
    group = Group(energy=np.array(energy), mu=np.array(mu))
    if np.diff(group.energy).min() <= 0:
        sort_xafs(group, overwrite=True, fix_repeats=True)
    pre_edge(group)
    return group


def differences(larch: Group, scan: ReducedScan) -> tuple[float, float]:
    """Return the differences of e0 (eV) and of the edge step (its share); nan where there is none."""
    ours = scan.normalized
    return (larch.e0 - ours.e0, larch.edge_step / ours.edge_step - 1) if ours else (np.nan, np.nan)


def reasons(scan: ReducedScan) -> Iterator[str]:
    """Say why the two differ."""
    absorption = scan.absorption
    for reason, mask in absorption.flags.items():
        if left_out := (mask & ~absorption.usable).sum():
            yield f"points left out here ({reason}: {left_out})"
    larch = normalized_by_larch(absorption.energy[absorption.usable], absorption.mu[absorption.usable])
    e0, edge_step = differences(larch, scan)
    same = abs(e0) <= E0_LIMIT and abs(edge_step) <= STEP_LIMIT
    yield "the same points give the same" if same else f"the same points differ by {e0:+.2f} eV, {edge_step:+.1%}"


def main() -> None:
    """Print the table of all files, and each exception with its reason."""
    folder = Path(next(argument for argument in sys.argv[1:] if not argument.startswith("--")))
    warnings.simplefilter("ignore")  # xraylarch averages empty slices
    files = sorted(path for path in folder.rglob("*") if path.suffix in (".xdi", ".csv"))
    compare(files[0])  # imports and caches
    found = [compare(path) for path in files]
    both = [one for one in found if one.both]
    summary = {
        "files": len(found),
        "reduced by both": len(both),
        f"e0 within {E0_LIMIT:g} eV": sum(abs(one.e0) <= E0_LIMIT for one in both),
        f"edge step within {STEP_LIMIT:.0%}": sum(abs(one.edge_step) <= STEP_LIMIT for one in both),
        "largest difference of e0 (eV)": max((abs(one.e0) for one in both), default=np.nan),
        "largest difference of the edge step": max((abs(one.edge_step) for one in both), default=np.nan),
        "ms per file here (median)": 1000 * float(np.median([one.seconds for one in both])),
        "ms per file of xraylarch (median)": 1000 * float(np.median([one.larch_seconds for one in both])),
    }
    exceptions = [one for one in found if not one.agrees]
    if "--json" in sys.argv:
        print(json.dumps({**summary, "exceptions": [asdict(one) for one in exceptions]}, indent=1))
        return
    for name, value in summary.items():
        print(f"{name:40s} {value:.3g}")
    for one in exceptions:
        found_there = f"e0 {one.e0:+.2f} eV, edge step {one.edge_step:+.1%}: " if one.both else ""
        print(f"{Path(one.path).relative_to(folder)}: {found_there}{one.reason}")


if __name__ == "__main__":
    main()
