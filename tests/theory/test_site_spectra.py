from pathlib import Path

import numpy as np
import pytest

from xas_bluesky.edges import find_edge
from xas_bluesky.errors import EdgeError
from xas_bluesky.theory import calibrated, molecule_means, read_dataset, site_spectra

RECORDS = read_dataset(Path(__file__).with_name("recipe_records.parquet"))
GRID = np.arange(280.0, 420.0, 0.1)


def test_carbon_spectra_are_on_the_absolute_scale() -> None:
    sites, spectra = site_spectra(RECORDS, "C K", GRID, gaussian=0.5)
    assert sites.tolist() == RECORDS.of_element("C").tolist()
    jump = find_edge("C K").jump
    np.testing.assert_allclose(spectra[:, -1], jump, rtol=1e-3)
    assert spectra.max() == pytest.approx(20 * jump, rel=0.5)  # π* peaks of C K: tens of Mb


def test_a_peak_lies_at_its_calibrated_energy() -> None:
    ketone = RECORDS.select(RECORDS.name == "CC(=O)CO")
    grid = np.arange(525.0, 560.0, 0.05)
    sites, spectra = site_spectra(ketone, "O K", grid, gaussian=0.2)
    peaks = grid[spectra.argmax(axis=1)]
    assert ketone.site_atom[sites].tolist() == [2, 4]
    assert peaks[0] == pytest.approx(531.16, abs=0.4)  # O 1s to π* of acetone, data/gas_phase
    molecules, means = molecule_means(spectra, ketone.site_molecule[sites])
    assert molecules.tolist() == [0]
    np.testing.assert_allclose(means[0], spectra.mean(axis=0))


def test_calibrated_keeps_the_order_of_sites() -> None:
    sites, energy, ionization = calibrated(RECORDS, "N")
    first = np.cumsum(RECORDS.site_sticks[sites]) - RECORDS.site_sticks[sites]
    assert len(energy) == RECORDS.site_sticks[sites].sum()
    assert ((energy[first] > 396) & (energy[first] < ionization)).all()
    assert ((ionization > 403) & (ionization < 412)).all()


@pytest.mark.parametrize("edge", ["S L3", "Fe K"])
def test_an_edge_without_constants(edge: str) -> None:
    with pytest.raises(EdgeError, match="there are no constants for it"):
        site_spectra(RECORDS, edge, GRID, gaussian=0.5)
