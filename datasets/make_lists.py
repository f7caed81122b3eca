"""Write the lists of molecules to compute: python datasets/make_lists.py [FOLDER]."""

import csv
import gzip
import sys
from itertools import islice
from pathlib import Path

from xas_bluesky.theory.analogues import in_fixed_order, sulfur_analogues

QM9 = Path(__file__).with_name("qm9_smiles.csv.gz")
LONGEST = {"qm9": 12_000, "qm9_fluorine": 400, "sulfur": 6_000}


def main(folder: Path) -> None:
    """Write the lists to `folder`, one molecule a line: canonical SMILES, and a name that holds its position."""
    with gzip.open(QM9, "rt", encoding="ascii") as lines:
        molecules = in_fixed_order(row["smiles"] for row in csv.DictReader(lines))
    named = (f"{smiles} qm9-{index:06d}\n" for index, smiles in enumerate(molecules))
    (folder / "qm9.smi").write_text("".join(islice(named, LONGEST["qm9"])))
    fluorinated = (smiles for smiles in molecules if "F" in smiles and "." not in smiles)
    named = (f"{smiles} qm9-fluorine-{index:06d}\n" for index, smiles in enumerate(fluorinated))
    (folder / "qm9_fluorine.smi").write_text("".join(islice(named, LONGEST["qm9_fluorine"])))
    named = (f"{smiles} sulfur-{kind}-{index:06d}\n" for index, (kind, smiles) in enumerate(sulfur_analogues(molecules)))
    (folder / "sulfur.smi").write_text("".join(islice(named, LONGEST["sulfur"])))


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "."))
