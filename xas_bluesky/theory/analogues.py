"""The molecules to compute: QM9 in a fixed random order, and sulfur compounds made from it."""

import csv
import hashlib
from collections.abc import Iterable, Iterator, Sequence
from functools import cache
from importlib.resources import files
from itertools import combinations_with_replacement
from typing import Final

from rdkit import Chem, rdBase
from rdkit.Chem import rdChemReactions

from xas_bluesky.structures import split
from xas_bluesky.structures.smiles import parse_smiles, same_molecule_key

REACTIONS: Final = {
    "thiol": ("[#6:1]-[OX2H:2]>>[*:1]-[S:2]",),
    "thioether": ("[#6:1]-[OX2H0;A:2]-[#6:3]>>[*:1]-[S:2]-[*:3]",),
    "thiocarbonyl": ("[#6:1]=[OX1:2]>>[*:1]=[S:2]",),
    "thiophene": ("[#6,#7:1]:[o,$([nH]):2]:[#6,#7:3]>>[*:1]:[s:2]:[*:3]",),
    "sulfoxide": ("[#6:1]-[OX2H0;A]-[#6:3]>>[*:1]-S(=O)-[*:3]", "[#6:1]-[CH2]-[#6:3]>>[*:1]-S(=O)-[*:3]"),
    "sulfone": ("[#6:1]-[OX2H0;A]-[#6:3]>>[*:1]-S(=O)(=O)-[*:3]", "[#6:1]-[CH2]-[#6:3]>>[*:1]-S(=O)(=O)-[*:3]"),
    "sulfonic-acid": ("[#6:1]-[OX2H]>>[*:1]-S(=O)(=O)-O", "[#6:1]-[CH3]>>[*:1]-S(=O)(=O)-O"),
    "disulfide": (
        "[#6:1]-[OX2H0;A]-[#6:3]>>[*:1]-S-S-[*:3]",
        "[#6:1]-[OX2H]>>[*:1]-S-S-C",
        "[#6:1]-[CH2]-[CH2]-[#6:3]>>[*:1]-S-S-[*:3]",
    ),
    "sulfonyl": (
        "[#6:1]-C(=O)-[NX3:3]>>[*:1]-S(=O)(=O)-[*:3]",
        "[#6:1]-[NX3H2:3]>>[*:1]-S(=O)(=O)-[*:3]",
        "[#6:1]-C(=O)-[OX2H0;A:3]>>[*:1]-S(=O)(=O)-[*:3]",
        "[#6:1]-C(=O)-[OX2H0;A:3]>>[*:1]-S(=O)-[*:3]",
        "[#6:1]-C(=O)-[OX2H:3]>>[*:1]-S(=O)-[*:3]",
    ),
}
"""Per class, what turns a QM9 molecule into a sulfur compound; of several products, a hash chooses one."""
COMPILED: Final = {
    name: tuple(rdChemReactions.ReactionFromSmarts(smarts) for smarts in reactions) for name, reactions in REACTIONS.items()
}

REPLACEMENTS: Final = ("thiol", "thioether", "thiocarbonyl", "thiophene")
SHARES: Final = {
    "thiol": 10, "thioether": 10, "thiocarbonyl": 8, "thiophene": 10, "sulfoxide": 14, "sulfone": 14, "sulfonic-acid": 10,
    "disulfide": 9, "sulfonyl": 5, "two-sulfur": 2, "combined": 8,
}  # fmt: skip
"""Percent of each class in any part of the list."""

GROUPS: Final = (
    "C", "CC", "CCC", "C(C)C", "CCCC", "C(C)(C)C", "CCCCC", "C=C", "CC=C", "CC#C", "C1CC1", "C1CCCC1", "C1CCCCC1",
    "c1ccccc1", "Cc1ccccc1", "c1ccc(C)cc1", "c1ccc(O)cc1", "c1ccc(N)cc1", "c1ccc(F)cc1", "c1ccc(OC)cc1", "c1ccccc1C",
    "c1ccc(C(=O)O)cc1", "c1ccccn1", "c1cccnc1", "c1ccncc1", "c1ncc[nH]1", "c1ccco1", "c1cccs1", "c1ccsc1", "c1nccs1",
    "c1cc2ccccc2s1", "c1nc2ccccc2s1", "CC(=O)O", "CCC(=O)O", "CC(=O)OC", "CC(N)C(=O)O", "CCC(N)C(=O)O", "CCN", "CCO",
    "CCNC(C)=O", "CC#N", "C(C)=O", "C(F)(F)F", "CC(C)=O",
)  # fmt: skip
"""Groups common in measured samples and rare in QM9, as SMILES from the atom that binds to sulfur."""
LINKS: Final = ("S({})({})", "S(=O)({})({})", "S(=O)(=O)({})({})", "S({})(S{})")
ENDS: Final = (
    "S{}", "S(=O)(O){}", "S(=O)(=O)(O){}", "S(=O)(=O)(N){}", "S(=O)(=O)(NC){}", "S(=O)(=O)(OC){}", "S(=O)(OC){}",
)  # fmt: skip

UNLIKELY: Final = tuple(
    Chem.MolFromSmarts(smarts)
    for smarts in (
        "[#8,#16]~[#16X2;A]~[#8,#16]",  # chains of three chalcogens
        "[#8]-[#8]",
        "[SX3,SX4]-[CX3]=[O,S,N]",  # acyl sulfoxides, sulfones, sulfonic acids
        "[C,S]=C=[S,O]",
        "[#16]1*=*1",
        "[#16]1[#16]*1",
        "[#16]1[#16]**1",
        "[SX3,SX4;r3]",
        "[!+0]",  # the nitro groups of QM9
    )
)
"""Bonding that no sample has for long."""

NITRO: Final = Chem.MolFromSmarts("[N+](=O)[O-]")
ELEMENTS: Final = frozenset({1, 6, 7, 8, 9, 16})
LARGEST = 14
"""Most heavy atoms in a sulfur compound."""
LARGEST_OXIDIZED = 8
"""Most heavy atoms in a QM9 molecule of which anything but a simple replacement is made."""
MOST_RINGS = 2
"""Most rings in a QM9 molecule of which a sulfur compound is made: cages are common there and nowhere else."""


def in_fixed_order(smiles: Iterable[str]) -> list[str]:
    """Return canonical SMILES in the order of their SHA-256 digests: random, but the same every time.

    Left out are blind molecules, repeats, radicals, ions and zwitterions (charges other than a nitro group's). Raises
    CandidateError for text that is no SMILES.
    """
    kept: set[str] = set()
    for text in smiles:
        molecule = parse_smiles(text)
        if _is_closed_shell(molecule) and split(canonical := Chem.MolToSmiles(molecule)) != "blind":
            kept.add(canonical)
    return sorted(kept, key=_digest)


def sulfur_analogues(molecules: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Yield class and canonical SMILES of sulfur compounds made from `molecules`, the classes mixed as SHARES says.

    Each comes once, is neutral and closed-shell, of H C N O F S, of at most LARGEST heavy atoms, and not kept apart: blind,
    TEST in the published sulfur set (data/sulfur_k_tddft), or measured; for the latter two stereochemistry does not count.
    The order depends on that of `molecules` alone. A class that is used up leaves its share to the others. Raises
    CandidateError for text that is no SMILES.
    """
    streams = {name: _candidates(name, molecules) for name in SHARES}
    counts = dict.fromkeys(SHARES, 0)
    seen = _kept_apart()
    while streams:
        name = min(streams, key=lambda key: (counts[key] + 1) / SHARES[key])
        found = next((smiles for smiles in streams[name] if same_molecule_key(smiles) not in seen), None)
        if found is None:
            del streams[name]
            continue
        seen.add(same_molecule_key(found))
        counts[name] += 1
        yield name, found


def _candidates(name: str, molecules: Sequence[str]) -> Iterator[str]:
    if name == "combined":
        yield from _combined()
        return
    limit = LARGEST if name in REPLACEMENTS else LARGEST_OXIDIZED
    for smiles in molecules:
        molecule = parse_smiles(smiles)
        if molecule.GetNumAtoms() > limit or molecule.GetRingInfo().NumRings() > MOST_RINGS:
            continue
        if name == "two-sulfur":
            first = _products(molecule, *REPLACEMENTS, "sulfoxide", "sulfone")
            products = {smiles for one in first for smiles in _products(parse_smiles(one), *REPLACEMENTS)}
        else:
            products = _products(molecule, name)
        if products:
            yield min(products, key=_digest)


def _products(molecule: Chem.Mol, *names: str) -> set[str]:
    found: set[str] = set()
    for name in names:
        for reaction in COMPILED[name]:
            for (product,) in reaction.RunReactants((molecule,)):
                if Chem.SanitizeMol(product, catchErrors=True) == Chem.SanitizeFlags.SANITIZE_NONE:
                    found.update(_usable(Chem.MolToSmiles(product)))
    return found


@cache
def _combined() -> tuple[str, ...]:
    linked = [link.format(*pair) for pair in combinations_with_replacement(GROUPS, 2) for link in LINKS]
    ended = [end.format(group) for group in GROUPS for end in ENDS]
    return tuple(sorted({smiles for text in linked + ended for smiles in _usable(text)}, key=_digest))


def _usable(smiles: str) -> list[str]:
    """Return the canonical SMILES, or nothing where the molecule is not for the list."""
    with rdBase.BlockLogs():
        molecule = Chem.MolFromSmiles(smiles)
    if (
        not molecule
        or molecule.GetNumAtoms() > LARGEST
        or not _is_closed_shell(molecule)
        or any(atom.GetAtomicNum() not in ELEMENTS for atom in molecule.GetAtoms())
        or any(molecule.HasSubstructMatch(pattern) for pattern in UNLIKELY)
    ):
        return []
    canonical = Chem.MolToSmiles(molecule)
    return [] if split(canonical) == "blind" else [canonical]


def _is_closed_shell(molecule: Chem.Mol) -> bool:
    nitro = {index for match in molecule.GetSubstructMatches(NITRO) for index in match}
    return all(
        atom.GetNumRadicalElectrons() == 0 and (atom.GetFormalCharge() == 0 or atom.GetIdx() in nitro)
        for atom in molecule.GetAtoms()
    )


def _kept_apart() -> set[str]:
    """Return the keys of what judges models and theory: compounds of measured spectra, and TEST and blind published ones."""
    measured = [row["smiles"] for row in _rows("known_spectra.csv")]
    published = [row for row in _rows("sulfur_k_tddft/molecules.csv") if row["smiles"]]
    reserved = [row["smiles"] for row in published if row["type"] == "TEST" or split(row["smiles"]) == "blind"]
    return {same_molecule_key(smiles) for smiles in (*reserved, *measured)}


def _rows(name: str) -> list[dict[str, str]]:
    with files("xas_bluesky").joinpath("data", name).open(encoding="utf-8") as lines:
        return list(csv.DictReader(lines))


def _digest(smiles: str) -> str:
    return hashlib.sha256(smiles.encode()).hexdigest()
