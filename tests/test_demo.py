import subprocess
import sys

import matplotlib.image
import numpy as np

from xas_bluesky.demo import DATA, draw, known_sample
from xas_bluesky.edges import find_edge
from xas_bluesky.files import read_candidates


def test_the_sample_and_the_candidates_are_shipped():
    energy = known_sample().energy
    assert energy[0] < find_edge("S K").energy < energy[-1]
    names = {candidate.name for candidate in read_candidates(DATA / "candidates" / "sulfur.csv")}
    assert 12 <= len(names) <= 20
    assert {"methionine", "methionine sulfone", "cysteine", "cystine", "taurine"} <= names


def test_the_picture_shows_something(outcome, tmp_path):
    picture = tmp_path / "demo.png"
    draw(outcome, picture)
    pixels = matplotlib.image.imread(picture)
    assert min(pixels.shape[:2]) > 500
    for part in np.array_split(pixels[..., :3], 3):
        assert (part < 0.5).any(axis=2).sum() > 500


def test_the_demonstration_loads_matplotlib_only_to_draw():
    check = "import sys, xas_bluesky.demo; print({'matplotlib', 'torch', 'rdkit'} & set(sys.modules))"
    assert subprocess.run([sys.executable, "-c", check], capture_output=True, text=True, check=True).stdout == "set()\n"
