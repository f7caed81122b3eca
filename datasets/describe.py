"""Print what the data sets of computed core excitations hold: python datasets/describe.py."""

from collections import Counter
from pathlib import Path

from xas_bluesky.structures import split
from xas_bluesky.theory import ELEMENTS, read_dataset

FOLDER = Path(__file__).with_name("core_excitations")


def main() -> None:
    """Print a Markdown table, one row per file."""
    print(
        f"| file | MB | molecules | test part | failed | {' | '.join(f'{element} sites' for element in ELEMENTS)} | sticks |"
    )
    print("|---" * (6 + len(ELEMENTS)) + "|")
    for path in sorted(FOLDER.glob("*.parquet")):
        dataset = read_dataset(path)
        parts = Counter(split(smiles) for smiles in dataset.smiles.tolist())
        counts = (len(dataset), parts["test"], len(dataset.failures))
        sites = (len(dataset.of_element(element)) for element in ELEMENTS)
        cells = [f"{path.stat().st_size / 1e6:.1f}", *(f"{count:,}" for count in (*counts, *sites, len(dataset.energy)))]
        print(f"| {path.name} | {' | '.join(cells)} |")


if __name__ == "__main__":
    main()
