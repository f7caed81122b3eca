"""Measure what an adaptive run costs, against the conventional scan of the same range on the same beamline.

Usage: python benchmarks/adaptive.py [SEEDS]

Each shipped measured spectrum is replayed on the simulated beamline with the shipped candidates, SEEDS times (default 3).
"""

import sys
import tempfile
from importlib.resources import files
from pathlib import Path

from xas_bluesky.beamline_sim import BeamlineSettings
from xas_bluesky.files import read_candidates, read_spectrum
from xas_bluesky.predictor_client import LocalPredictor
from xas_bluesky.results import open_catalog
from xas_bluesky.simulation import simulate

DATA = Path(str(files("xas_bluesky") / "data"))


def main() -> None:
    """Print, for each run: the answer, and points, seconds and photons as shares of the conventional scan's."""
    seeds = int(sys.argv[1]) if len(sys.argv) > 1 else 3
    candidates = read_candidates(DATA / "candidates" / "sulfur.csv")
    with tempfile.TemporaryDirectory() as folder, LocalPredictor() as predictor, open_catalog(folder) as catalog:
        for path in sorted((DATA / "measured").glob("*.csv")):
            for seed in range(seeds):
                settings = BeamlineSettings(seed=seed)
                outcome = simulate(read_spectrum(path), candidates, "S K", path.stem, predictor, catalog, settings=settings)
                spent, usual = outcome.spent, outcome.conventional
                shares = (
                    f"points {spent.points}/{usual.points} ({spent.points / usual.points:.0%})",
                    f"seconds {spent.seconds:.0f}/{usual.seconds:.0f} ({spent.seconds / usual.seconds:.0%})",
                    f"photons {spent.photons:.2g}/{usual.photons:.2g} ({spent.photons / usual.photons:.0%})",
                )
                print(f"{path.stem}, seed {seed}: {outcome.stop_reason}; {'; '.join(shares)}", flush=True)


if __name__ == "__main__":
    main()
