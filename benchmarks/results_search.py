"""How long a search among many analysis records takes: embedded, and on `tiled serve catalog`.

    python benchmarks/results_search.py                     10,000 records of 20 candidates
    python benchmarks/results_search.py --candidates 200    longer lists

The records are one real record's metadata with other samples, candidates and times, put into the server's database row by row
as Tiled lays them out, since 10,000 requests would take longer than all else and their arrays play no part in a search. Every
search is made by the public functions over HTTP, for the newest ten records and what they say.
"""

import argparse
import json
import random
import socket
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
import uuid
from pathlib import Path

import httpx
import numpy as np

from xas_bluesky.comparison import Group, Ranked
from xas_bluesky.results import AnalysisRecord, Catalog, open_catalog, search
from xas_bluesky.results.metadata import to_metadata
from xas_bluesky.spectra import PredictedSpectra

KEY = "benchmark0of0searches"
NEWEST = 1.79e9
MEMBERS = 4
"""Candidates in a group."""


def seeded(seed: int) -> random.Random:
    """Draw the same records each time."""
    return random.Random(seed)  # noqa: S311


def record(index: int, candidates: int, rng: random.Random) -> AnalysisRecord:
    """Return a record of one of 500 samples, whose candidates are drawn from 3,000 compounds."""
    compounds = rng.sample(range(3000), candidates)
    names = tuple(f"compound {number} (form {number % 7})" for number in compounds)
    keys = tuple(f"{number:014d}".translate(LETTERS) + "-UHFFFAOYSA-N" for number in compounds)
    formulas = tuple(f"C{number % 17 + 2}H{number % 31 + 3}O{number % 5 + 2}S" for number in compounds)
    weights = sorted((rng.expovariate(1) ** 4 for _ in names), reverse=True)
    chances = [weight / sum(weights) for weight in weights]
    ranking = tuple(
        Ranked(name, chance, at // MEMBERS, rng.gauss(0, 1))
        for at, (name, chance) in enumerate(zip(names, chances, strict=True))
    )
    cuts = range(0, candidates, MEMBERS)
    groups = tuple(Group(names[at : at + MEMBERS], sum(chances[at : at + MEMBERS])) for at in cuts)
    nothing = np.zeros((candidates, 2))
    predicted = PredictedSpectra(
        edge=rng.choice(["S K", "O K", "N K", "C K", "Cu K"]),
        candidate=names,
        energy=np.arange(2.0),
        mean=nothing,
        std=nothing,
        factors=np.zeros((candidates, 1, 2)),
        ionization=np.zeros(candidates),
        supported=np.ones(candidates, dtype=np.bool_),
        distance=np.zeros(candidates),
        model=f"{index // 4000:064x}",
        inchikey=keys,
        formula=formulas,
    )
    return AnalysisRecord(
        raw_uid=str(uuid.UUID(int=rng.getrandbits(128))),
        sample=f"sample {index % 500}",
        ranking=ranking,
        groups=groups,
        none_of_these=0.01,
        stop_reason=f"sure: {groups[0].probability:.3f} on {', '.join(groups[0].members)}"
        if index % 3
        else "budget: 60 of 60 points are spent",
        seed=index,
        points=40,
        seconds=95.0,
        photons=3e10,
        points_conventional=220,
        seconds_conventional=300.0,
        photons_conventional=9e10,
        decisions=(),
        predicted=predicted,
        time=NEWEST - 600.0 * index,
        dose=3e10,
    )


LETTERS = str.maketrans("0123456789", "ABCDEFGHIJ")


def fill(database: Path, count: int, candidates: int) -> int:
    """Copy the only record of a catalog's database with the metadata of others; return the bytes of these."""
    rng, size = seeded(1), 0
    with sqlite3.connect(database) as connection:
        columns = [row[1] for row in connection.execute("PRAGMA table_info(nodes)")]
        (parent,) = connection.execute("SELECT id FROM nodes WHERE key = 'analyses'").fetchone()
        sample = connection.execute("SELECT * FROM nodes WHERE parent = ?", (parent,)).fetchone()
        like = dict(zip(columns, sample, strict=True))
        del like["id"]
        connection.execute("DELETE FROM nodes WHERE parent = ?", (parent,))
        marks = ", ".join("?" for _ in like)
        for index in range(count):
            text = json.dumps(to_metadata(record(index, candidates, rng)))
            size += len(text)
            row = like | {"key": str(uuid.UUID(int=rng.getrandbits(128))), "metadata": text}
            connection.execute(f"INSERT INTO nodes ({', '.join(row)}) VALUES ({marks})", tuple(row.values()))  # noqa: S608
    connection.close()
    return size


def measure(catalog: Catalog, what: str, repeats: int) -> dict[str, float]:
    """Time each search `repeats` times; return the medians in seconds by what was asked."""
    rng = seeded(2)
    asked = record(7, 20, seeded(1)).predicted
    wanted = {
        "sample": {"sample": "sample 123"},
        "InChIKey": {"candidate": f"{123:014d}".translate(LETTERS) + "-UHFFFAOYSA-N"},
        "InChIKey, 0.2 or more": {
            "candidate": f"{rng.randrange(3000):014d}".translate(LETTERS) + "-UHFFFAOYSA-N",
            "min_probability": 0.2,
        },
        "formula": {"formula": asked.formula[0], "min_probability": 0.5},
        "edge, probability, dates": {"edge": "S K", "min_probability": 0.9, "since": NEWEST - 86400 * 20},
        "stop reason, model": {"stop_reason": "budget", "model": f"{1:064x}"},
        "raw uid": {"raw_uid": search(catalog)[42].metadata["raw_uid"]},
        "all": {},
    }
    medians: dict[str, float] = {}
    for name, conditions in wanted.items():
        taken: list[float] = []
        for _ in range(repeats):
            began = time.perf_counter()
            found = search(catalog, **conditions)
            rows = found[:10].to_dataframe()
            taken.append(time.perf_counter() - began)
        medians[name] = statistics.median(taken)
        print(
            f"{what:10} {name:26} {len(found):6d} found, {len(rows):2d} read  {medians[name]:.3f} s (largest {max(taken):.3f})"
        )
    return medians


def main() -> None:
    """Run it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--records", type=int, default=10_000)
    parser.add_argument("--candidates", type=int, default=20)
    parser.add_argument("--repeats", type=int, default=5)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder) / "catalog"
        with open_catalog(place) as catalog:
            catalog.save(record(0, options.candidates, seeded(0)))
        size = fill(place / "catalog.db", options.records, options.candidates)
        each = size / options.records / 1000
        print(f"{options.records} records of {options.candidates} candidates, {each:.1f} kB of metadata each")
        with open_catalog(place) as catalog:
            measure(catalog, "embedded", options.repeats)
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        command = ["catalog", str(place / "catalog.db"), "--write", str(place / "data"), "--api-key", KEY, "--port", str(port)]
        with (place / "served.log").open("wb") as log:
            server = subprocess.Popen([sys.executable, "-m", "tiled", "serve", *command], stdout=log, stderr=log)  # noqa: S603
        try:
            wait_for(f"http://127.0.0.1:{port}/api/v1/")
            with open_catalog(f"http://127.0.0.1:{port}?api_key={KEY}") as catalog:
                measure(catalog, "served", options.repeats)
        finally:
            server.kill()
            server.wait()


def wait_for(url: str) -> None:
    """Wait until a server answers."""
    deadline = time.monotonic() + 90
    while time.monotonic() < deadline:
        try:
            httpx.get(url, timeout=5, trust_env=False)
        except httpx.HTTPError:
            time.sleep(0.1)
        else:
            return
    raise SystemExit("the Tiled server did not start")


if __name__ == "__main__":
    main()
