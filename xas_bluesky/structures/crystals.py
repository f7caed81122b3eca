"""Read a candidate's CIF or POSCAR into a crystal, and turn it into the graph that the networks read."""

import re
import warnings
from collections import Counter
from collections.abc import Generator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from io import StringIO

import numpy as np
from ase import Atoms
from ase.data import atomic_numbers, chemical_symbols, covalent_radii
from ase.geometry import minkowski_reduce
from ase.io.cif import CIFBlock, parse_cif
from ase.io.vasp import read_vasp_configuration
from ase.neighborlist import primitive_neighbor_list
from ase.spacegroup import Spacegroup
from ase.spacegroup.spacegroup import SpacegroupNotFoundError, parse_sitesym, spacegroup_from_data
from numpy.typing import NDArray

from xas_bluesky.candidates import Candidate
from xas_bluesky.errors import CandidateError
from xas_bluesky.structures.graphs import ATOM_FEATURES, CUTOFF, HEAVIEST, AtomGraph
from xas_bluesky.structures.molecules import CLOSEST, NAMES, describe

MOST_ATOMS = 1000
FULL = 0.01
"""An occupancy this close to 1 is refined noise, not disorder."""
SAME_SITE = 0.002
"""Of a cell vector: thirds are written with three digits."""
LONGEST_BOND = 1.15
"""Times the sum of two covalent radii, as in molecules; from 1.2 up it would join copper to the phosphorus of phosphates."""
NONMETALS = [1, *range(5, 10), *range(14, 18), 33, 34, 35, 52, 53]
"""H, B to F, Si to Cl, As, Se, Br, Te and I: what surrounds a metal in its compounds."""
PERIODIC = (True, True, True)

UNKNOWN = {".", "?"}
OPERATIONS = ("_space_group_symop_operation_xyz", "_space_group_symop.operation_xyz", "_symmetry_equiv_pos_as_xyz")
GROUP_NUMBER = ("_space_group_it_number", "_space_group.it_number", "_symmetry_int_tables_number")
GROUP_NAME = ("_space_group_name_h-m_alt", "_space_group.name_h-m_alt", "_symmetry_space_group_name_h-m")
TYPE_SYMBOL = re.compile(r"([A-Za-z]{1,2})(?![A-Za-z])")
LABEL = re.compile(r"([A-Z][a-z]?)(?![A-Za-z])")
"""Stricter: whether CO1 is carbon or cobalt, no one knows."""
FORMULA = re.compile(r"(?:[A-Z][a-z]?\d*\s*)+")


@dataclass(frozen=True, slots=True)
class Crystal:
    """Hold a periodic structure: `numbers` (n,) atomic, `positions` (n, 3) and `cell` (3, 3) one vector per row, Å."""

    numbers: NDArray[np.int64]
    positions: NDArray[np.float64]
    cell: NDArray[np.float64]


def read_crystal(candidate: Candidate, *absorbers: str) -> Crystal:
    """Read `candidate`, a CIF data block or a POSCAR, into all atoms of one cell.

    The cell's vectors are the shortest that make up its lattice. `absorbers`: symbols of the elements one of which must be
    in it. Raises CandidateError for text that cannot be read, partly occupied sites, symmetry or elements that the text
    leaves open, elements beyond einsteinium, no absorber, a cell without volume or of more than 1,000 atoms, or atoms that
    coincide with others or their images.
    """
    where = describe(candidate)
    if candidate.format not in ("cif", "poscar"):
        raise CandidateError(f"{where}: a {NAMES[candidate.format]} holds no crystal; give a CIF or a POSCAR")
    with _refuse_unreadable(where, NAMES[candidate.format]):
        atoms = (_read_cif if candidate.format == "cif" else _read_poscar)(candidate.structure, where)
    if len(atoms) == 0:
        raise CandidateError(f"{where}: the {NAMES[candidate.format]} holds no atom; correct or remove it")
    _check_size(len(atoms), where)
    if strange := [number for number in atoms.numbers if not 0 < number <= HEAVIEST]:
        raise CandidateError(f"{where}: it holds {chemical_symbols[strange[0]]!r}, which no model knows; remove it")
    if not set(absorbers) & set(atoms.get_chemical_symbols()):
        role = "the absorber of this edge" if len(absorbers) == 1 else "the absorbers of these edges"
        raise CandidateError(f"{where}: it holds no {' or '.join(absorbers)}, {role}; remove it")
    cell, positions = atoms.cell.array, atoms.positions
    if not np.isfinite([*cell, *positions]).all() or abs(np.linalg.det(cell)) <= 1e-6 * np.linalg.norm(cell, axis=1).prod():
        raise CandidateError(f"{where}: its cell has no volume, or a number is not finite; correct lattice and positions")
    found = Crystal(atoms.numbers.astype(np.int64), positions, np.asarray(minkowski_reduce(cell)[0]))
    _check_distances(found, where)
    return found


def crystal_formula(candidate: Candidate) -> str:
    """Return the formula of a CIF or POSCAR in Hill's order, in the smallest whole numbers; raises CandidateError."""
    with _refuse_unreadable(describe(candidate), NAMES[candidate.format]):
        atoms = (_read_cif if candidate.format == "cif" else _read_poscar)(candidate.structure, describe(candidate))
        return atoms.symbols.formula.reduce()[0].format("hill")


def crystal_graph(crystal: Crystal, *elements: str) -> AtomGraph:
    """Make the graph of a crystal with all neighbours in this and other cells, every atom of these elements an absorber.

    An absorber's environment names its first shell, as in "Cu(As2)(O2)": nonmetals within 1.15 times the sum of covalent
    radii (doi:10.1039/b801115j), or metals where there is no nonmetal; so copper in an oxide is not coordinated to barium.
    """
    numbers = crystal.numbers
    receivers, senders, vectors = primitive_neighbor_list("ijD", PERIODIC, crystal.cell, crystal.positions, CUTOFF)
    radii = covalent_radii[numbers]
    bonded = np.linalg.norm(vectors, axis=1) < LONGEST_BOND * (radii[receivers] + radii[senders])
    absorbers = np.isin(numbers, [atomic_numbers[element] for element in elements]).nonzero()[0]
    return AtomGraph(
        numbers=numbers,
        features=np.zeros((len(numbers), ATOM_FEATURES), dtype=np.float32),
        edges=np.stack([senders, receivers]),
        vectors=vectors.astype(np.float32),
        absorbers=absorbers,
        environments=tuple(_environment(numbers[at], numbers[senders[bonded & (receivers == at)]]) for at in absorbers),
    )


def _environment(absorber: int, bonded: NDArray[np.int64]) -> str:
    nonmetals = bonded[np.isin(bonded, NONMETALS)]
    shell = Counter(chemical_symbols[number] for number in (nonmetals if nonmetals.size else bonded))
    return chemical_symbols[absorber] + "".join(f"({symbol}{n if n > 1 else ''})" for symbol, n in sorted(shell.items()))


@contextmanager
def _refuse_unreadable(where: str, what: str) -> Generator[None]:
    """Turn whatever ASE raises into a CandidateError; of its warnings, only that it drops a row matters here."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        warnings.filterwarnings("error", message="Wrong number .* of tokens")
        try:
            yield
        except CandidateError:
            raise
        except Exception as problem:
            why = str(problem) or type(problem).__name__
            raise CandidateError(f"{where}: it is not a valid {what} ({why}); correct or remove it") from problem


def _read_cif(text: str, where: str) -> Atoms:
    (block,) = parse_cif(StringIO(text))
    sites = list(zip(*(_values(block, f"_atom_site_fract_{axis}") for axis in "xyz"), strict=True))
    cell = block.get_cellpar()
    if not sites or cell is None:
        raise CandidateError(f"{where}: the CIF lacks a cell or sites with fractional coordinates; complete or remove it")
    _check_size(len(sites), where)
    _check_order(block, where)
    symbols = _symbols(block, where)
    basis = [[float(value) for value in site] for site in sites]
    positions, kinds = _space_group(block, where).equivalent_sites(basis, symprec=SAME_SITE)
    return Atoms([symbols[kind] for kind in kinds], scaled_positions=positions, cell=[float(value) for value in cell])


def _values(block: CIFBlock, *names: str) -> list[str]:
    """Return the column, or the one value, that the first known of `names` has."""
    found = next((block[name] for name in names if name in block), [])
    return [str(value) for value in (found if isinstance(found, list) else [found])]


def _symbols(block: CIFBlock, where: str) -> list[str]:
    types = _values(block, "_atom_site_type_symbol")
    symbols: list[str] = []
    for name in types or _values(block, "_atom_site_label"):
        match = (TYPE_SYMBOL if types else LABEL).match(name)
        symbol = match[1].capitalize() if match else ""
        if symbol not in {"D", *chemical_symbols}:
            raise CandidateError(f"{where}: the site {name!r} names no element; give its _atom_site_type_symbol, as in Cu2+")
        symbols.append("H" if symbol == "D" else symbol)
    return symbols


def _check_order(block: CIFBlock, where: str) -> None:
    parts = {
        share for share in _values(block, "_atom_site_occupancy") if share not in UNKNOWN and abs(float(share) - 1) > FULL
    }
    if parts or not set(_values(block, "_atom_site_disorder_group")) <= {*UNKNOWN, "0"}:
        what = f"a site is occupied to {min(parts)}" if parts else "its sites belong to disorder groups"
        raise CandidateError(f"{where}: {what}; give an ordered structure, every site occupied by one atom")


def _space_group(block: CIFBlock, where: str) -> Spacegroup:
    """Return the group of the operations that the CIF lists, or the one that its name or number can only mean."""
    if operations := _values(block, *OPERATIONS):
        if not np.allclose(np.abs(np.linalg.det(parse_sitesym(operations)[0])), 1):
            raise CandidateError(f"{where}: one of its symmetry operations is not in x, y and z; correct it")
        return spacegroup_from_data(no=1, setting=1, sitesym=operations)
    number, name = (
        next((value for value in _values(block, *names) if value not in UNKNOWN), "") for names in (GROUP_NUMBER, GROUP_NAME)
    )
    groups: list[Spacegroup] = []
    for setting in (1, 2):
        with suppress(SpacegroupNotFoundError):
            groups.append(Spacegroup(name or int(number or 0), setting))
    if len(groups) != 1 or (number and groups[0].no != int(number)):
        raise CandidateError(
            f"{where}: without symmetry operations its space group {name or number or 'is missing and'} leaves axes and "
            "origin open; list them (_space_group_symop_operation_xyz)"
        )
    return groups[0]


def _read_poscar(text: str, where: str) -> Atoms:
    lines = text.splitlines()
    words, below = (lines[at].partition("!")[0].split() for at in (5, 6))
    if words[0].isdecimal():
        kinds, counts = re.findall(r"[A-Z][a-z]?", lines[0]), words
        if not FORMULA.fullmatch(lines[0].strip()) or len(kinds) != len(counts):
            raise CandidateError(f"{where}: the POSCAR names no elements; write them in a line above the numbers of atoms")
        lines.insert(5, " ".join(kinds))
    else:
        kinds, counts = words, below
    if len(kinds) != len(counts):
        raise CandidateError(
            f"{where}: {len(kinds)} elements are named for {len(counts)} numbers of atoms; correct the POSCAR"
        )
    _check_size(sum(int(count) for count in counts), where)
    stream = StringIO("\n".join(lines))
    atoms = read_vasp_configuration(stream)
    if re.match(r"\s*[-+.\d]", stream.readline()):
        raise CandidateError(f"{where}: more positions follow than {len(atoms)} atoms; correct the POSCAR")
    return atoms


def _check_size(atoms: int, where: str) -> None:
    if atoms > MOST_ATOMS:
        raise CandidateError(f"{where}: its cell holds {atoms} atoms, more than {MOST_ATOMS}; give a smaller cell of it")


def _check_distances(crystal: Crystal, where: str) -> None:
    if (shortest := np.linalg.norm(crystal.cell, axis=1).min()) < CLOSEST:
        raise CandidateError(f"{where}: its lattice repeats every {shortest:.2g} Å; correct the cell")
    one, other, apart = primitive_neighbor_list("ijd", PERIODIC, crystal.cell, crystal.positions, CLOSEST)
    if apart.size:
        names = [f"{chemical_symbols[crystal.numbers[at]]}{at + 1}" for at in (one[0], other[0])]
        raise CandidateError(f"{where}: {' and '.join(names)} are {apart[0]:.2f} Å apart; correct positions, symmetry or cell")
