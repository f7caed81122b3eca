"""Compare e0 and edge step of measured files with xraylarch's: python benchmarks/against_xraylarch.py FOLDER [--json].

Every .xdi and .csv file below FOLDER is reduced by both from the file on: here with all that a live scan goes through
(flags, glitches left out), there by `read_xdi` or `read_ascii`, the same signal and `pre_edge` with its defaults. A file where
they differ is an exception; so that its reason is known, xraylarch is also given only the points that were not left out here.
"""

import json
import sys
import time
import warnings
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from larch import Group
from larch.io import read_ascii, read_xdi
from larch.xafs import pre_edge, sort_xafs

from xas_bluesky.errors import XASError
from xas_bluesky.files import read_spectrum
from xas_bluesky.reduction import reduce_scan
from xas_bluesky.spectra import Absorption, ReducedScan

E0_LIMIT = 0.1
STEP_LIMIT = 0.01
RATIOS = {
    "transmission": [("i0", "itrans"), ("i0", "i1")],
    "fluorescence": [("ifluor", "i0"), ("fluor", "i0"), ("if", "i0")],
    "electron_yield": [("iyield", "i0"), ("iey", "i0")],
}
"""What xraylarch's users divide by what."""


@dataclass(frozen=True)
class Compared:
    """Hold one file: what xraylarch found less what was found here (eV; share of the step), or why there is none."""

    path: str
    seconds: float = np.nan
    larch_seconds: float = np.nan
    e0: float = np.nan
    edge_step: float = np.nan
    signal: str = ""
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
    try:
        start = time.perf_counter()
        scan = reduce_scan(read_spectrum(path))
        seconds = time.perf_counter() - start
    except XASError as error:
        return Compared(str(path), reason=f"refused here: {error}")
    signal = scan.absorption.signal
    if scan.normalized is None:
        return Compared(str(path), seconds, signal=signal, reason=f"not normalized here: {scan.unknown['norm']}")
    start = time.perf_counter()
    try:
        larch = reduced_by_larch(path, signal)
    except Exception as error:  # xraylarch has no errors of its own
        return Compared(str(path), seconds, signal=signal, reason=f"xraylarch fails: {type(error).__name__}: {error}")
    larch_seconds = time.perf_counter() - start
    e0, edge_step = larch.e0 - scan.normalized.e0, larch.edge_step / scan.normalized.edge_step - 1
    found = Compared(str(path), seconds, larch_seconds, e0, edge_step, signal)
    return found if found.agrees else Compared(**{**asdict(found), "reason": explain(scan)})


def reduced_by_larch(path: Path, signal: str) -> Group:
    """Reduce a file as xraylarch's users do."""
    group = read_xdi(str(path)) if path.suffix == ".xdi" else read_ascii(str(path))
    for above, below in RATIOS.get(signal, []):
        if hasattr(group, above) and hasattr(group, below):
            ratio = getattr(group, above) / getattr(group, below)
            return normalized_by_larch(group.energy, np.log(ratio) if signal == "transmission" else ratio)
    label = next(name for name in group.array_labels if "mu" in name or "norm" in name)
    energy = getattr(group, "energy", None)
    return normalized_by_larch(group.data[0] if energy is None else energy, getattr(group, label))


def normalized_by_larch(energy: np.ndarray, mu: np.ndarray) -> Group:
    """Normalize by xraylarch's defaults, sorted where needed as its users do."""
    group = Group(energy=np.array(energy), mu=np.array(mu))
    if np.diff(group.energy).min() <= 0:
        sort_xafs(group, overwrite=True, fix_repeats=True)
    pre_edge(group)
    return group


def explain(scan: ReducedScan) -> str:
    """Say why the two differ."""
    absorption: Absorption = scan.absorption
    left_out = ", ".join(f"{reason}: {mask.sum()}" for reason, mask in absorption.flags.items() if (mask & ~absorption.usable).any())
    if not left_out:
        return "differs on the same points"
    larch = normalized_by_larch(absorption.energy[absorption.usable], absorption.mu[absorption.usable])
    same = Compared("", e0=larch.e0 - scan.normalized.e0, edge_step=larch.edge_step / scan.normalized.edge_step - 1)
    return f"points left out here ({left_out})" + ("" if same.agrees else ", and differs on the others, too")


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
        "largest difference of e0 (eV)": max(abs(one.e0) for one in both),
        "largest difference of the edge step": max(abs(one.edge_step) for one in both),
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
        differences = f"e0 {one.e0:+.2f} eV, edge step {one.edge_step:+.1%}; " if one.both else ""
        print(f"{Path(one.path).relative_to(folder)}: {differences}{one.reason}")


if __name__ == "__main__":
    main()
