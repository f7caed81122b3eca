"""Whole files as xraylarch's users reduce them; benchmarks/against_xraylarch.py does the same for a folder of any."""

from importlib.resources import files
from pathlib import Path

import numpy as np
import pytest
from larch import Group
from larch.io import read_ascii, read_xdi
from larch.xafs import pre_edge

from xas_bluesky.files import read_spectrum
from xas_bluesky.reduction import reduce_scan
from xas_bluesky.spectra import NormalizedSpectrum, Spectrum

# xraylarch averages an empty slice for scans of up to 100 points
pytestmark = [
    pytest.mark.filterwarnings("ignore:Mean of empty slice:RuntimeWarning"),
    pytest.mark.filterwarnings("ignore:invalid value encountered:RuntimeWarning"),
]

SHIPPED = Path(str(files("xas_bluesky") / "data" / "measured"))
MEASURED = [*sorted((Path(__file__).parents[1] / "data" / "measured").rglob("*.xdi")), *sorted(SHIPPED.glob("*.csv"))]


def by_larch(path: Path) -> Group:
    read = read_xdi(str(path)) if path.suffix == ".xdi" else read_ascii(str(path))
    if hasattr(read, "itrans"):
        mu = np.log(read.i0 / read.itrans)
    elif hasattr(read, "ifluor"):
        mu = read.ifluor / read.i0
    else:
        mu = read.data[1]
    group = Group(energy=np.array(read.data[0]), mu=np.array(mu))
    pre_edge(group)
    return group


def by_us(path: Path) -> NormalizedSpectrum:
    return normalized(read_spectrum(path))


def normalized(spectrum: Spectrum) -> NormalizedSpectrum:
    scan = reduce_scan(spectrum)
    assert scan.normalized is not None, scan.unknown
    return scan.normalized


def assert_agree(ours: NormalizedSpectrum, larch: Group) -> None:
    assert ours.e0 == pytest.approx(larch.e0, abs=0.1)
    assert ours.edge_step == pytest.approx(larch.edge_step, rel=0.01)


@pytest.mark.parametrize("path", MEASURED, ids=lambda path: path.stem)
def test_e0_and_edge_step_as_xraylarch(path: Path) -> None:
    assert_agree(by_us(path), by_larch(path))


def test_a_glitch_is_left_out_and_named() -> None:
    scan = reduce_scan(read_spectrum(next(path for path in MEASURED if path.stem == "pyrrhotite_rt_01")))
    np.testing.assert_allclose(scan.absorption.energy[scan.absorption.flags["glitch"]], [2477.2], atol=0.01)


@pytest.mark.parametrize("path", MEASURED, ids=lambda path: path.stem)
def test_energies_where_two_regions_meet_are_measured_twice(path: Path) -> None:
    spectrum = read_spectrum(path)
    again = np.sort(np.concatenate([np.arange(len(spectrum)), [9, 30, len(spectrum) // 2]]))
    channels = {name: values[again] for name, values in spectrum.channels.items()}
    assert_agree(normalized(Spectrum(spectrum.energy[again], channels, spectrum.metadata)), by_larch(path))


def rewritten(path: Path, folder: Path, kind: str) -> Path:
    """Write a file again, in another unit or the other way round."""
    lines = path.read_text(encoding="utf-8").splitlines()
    header = [line for line in lines if line.startswith("#")]
    rows = [line for line in lines if line and not line.startswith("#")]
    if kind == "keV":
        header = [line.replace("energy eV", "energy keV") for line in header]
        rows = [f"{float(row.split()[0]) / 1000:.7f} {row.split(maxsplit=1)[1]}" for row in rows]
    else:
        rows = rows[::-1]
    changed = folder / path.name
    changed.write_text("\n".join([*header, *rows]) + "\n", encoding="utf-8")
    return changed


@pytest.mark.parametrize("kind", ["keV", "downwards"])
@pytest.mark.parametrize("name", ["k2cro4_rt_001", "pyrrhotite_rt_01", "Hansel2001_Fe_foil_xanes_001"])
def test_however_it_is_written(tmp_path: Path, name: str, kind: str) -> None:
    path = next(path for path in MEASURED if path.stem == name)
    assert_agree(by_us(rewritten(path, tmp_path, kind)), by_larch(path))
