import numpy as np
import pytest
from ase.data import chemical_symbols
from scipy.spatial.transform import Rotation

from xas_bluesky.candidates import Candidate
from xas_bluesky.errors import CandidateError
from xas_bluesky.structures import AtomGraph, read_molecule
from xas_bluesky.structures.crystals import Crystal, crystal_graph, read_crystal
from xas_bluesky.structures.graphs import ATOM_FEATURES, CUTOFF

COPPER = "fcc\n3.615\n0 .5 .5\n.5 0 .5\n.5 .5 0\nCu\n1\nDirect\n0 0 0\n"
CUPRITE = """Cu2O
4.2696
1 0 0
0 1 0
0 0 1
Cu O
4 2
Direct
.25 .25 .25
.75 .75 .25
.75 .25 .75
.25 .75 .75
0 0 0
.5 .5 .5
"""
TENORITE = """data_tenorite
_journal_name_full 'Acta Cryst. B26, 8 (1970)'
_publ_section_title
;
data_of tenorite
;
_cell_length_a 4.6837(5)
_cell_length_b 3.4226(5)
_cell_length_c 5.1288(6)
_cell_angle_alpha 90
_cell_angle_beta 99.54(1)
_cell_angle_gamma 90
_symmetry_cell_setting monoclinic
_symmetry_space_group_name_H-M 'C 1 2/c 1'
_symmetry_Int_Tables_number 15
loop_
_symmetry_equiv_pos_as_xyz
x,y,z
-x,y,-z+1/2
-x,-y,-z
x,-y,z+1/2
x+1/2,y+1/2,z
-x+1/2,y+1/2,-z+1/2
-x+1/2,-y+1/2,-z
x+1/2,-y+1/2,z+1/2
loop_
_atom_site_label
_atom_site_type_symbol
_atom_site_fract_x
_atom_site_fract_y
_atom_site_fract_z
_atom_site_occupancy
Cu1 Cu2+ 0.25 0.25 0. 1.0
O1 O2- 0. 0.4184(13) 0.25 1
"""
C, S = 5.1288 * np.cos(np.radians(99.54)), 5.1288 * np.sin(np.radians(99.54))
TENORITE_POSCAR = f"""tenorite, oxygen first
1.0
4.6837 0 0
0 3.4226 0
{C} 0 {S}
O Cu
4 4
Direct
0 .4184 .25
0 .5816 .75
.5 .9184 .25
.5 .0816 .75
.25 .25 0
.75 .25 .5
.75 .75 0
.25 .75 .5
"""


def read(text: str, *absorbers: str) -> Crystal:
    form = "cif" if "data_" in text else "poscar"
    return read_crystal(Candidate("mine", text, "list:7", form), *(absorbers or ("Cu",)))


Atom = tuple[int, str, list[float]]


def fingerprint(graph: AtomGraph) -> list[Atom]:
    """Return of every atom its element, its environment and what lies at which distance, in an order of its own."""
    senders, receivers = graph.edges
    distances = np.linalg.norm(graph.vectors, axis=1)
    environments = dict(zip(graph.absorbers.tolist(), graph.environments, strict=True))
    return sorted(
        (int(number), environments.get(at, ""), sorted((distances + 1000 * graph.numbers[senders])[receivers == at].tolist()))
        for at, number in enumerate(graph.numbers)
    )


def same(one: AtomGraph, other: AtomGraph, times: int = 1) -> bool:
    """Tell whether each atom of `one` is `times` in `other`."""
    pairs = zip([atom for atom in fingerprint(one) for _ in range(times)], fingerprint(other), strict=True)
    return all(a[:2] == b[:2] and a[2] == pytest.approx(b[2], abs=2e-3) for a, b in pairs)


def repeated(crystal: Crystal, times: int) -> Crystal:
    positions = np.concatenate([crystal.positions + shift * crystal.cell[0] for shift in range(times)])
    return Crystal(np.tile(crystal.numbers, times), positions, crystal.cell * [[times], [1], [1]])


def test_copper_in_a_cell_smaller_than_the_cutoff():
    graph = crystal_graph(read(COPPER), "Cu")
    shells, counts = np.unique(np.linalg.norm(graph.vectors, axis=1).round(3), return_counts=True)
    assert shells == pytest.approx([2.556, 3.615, 4.427], abs=1e-3)
    assert list(counts) == [12, 6, 24]
    assert graph.environments == ("Cu(Cu12)",)
    assert graph.edges.tolist() == [[0] * 42] * 2


def test_shapes_and_types():
    crystal = read(TENORITE)
    graph = crystal_graph(crystal, "Cu")
    edges = graph.edges.shape[1]
    assert (graph.numbers.shape, graph.features.shape, graph.vectors.shape) == ((8,), (8, ATOM_FEATURES), (edges, 3))
    assert [graph.numbers.dtype, graph.edges.dtype, graph.absorbers.dtype] == [np.int64] * 3
    assert [graph.features.dtype, graph.vectors.dtype] == [np.float32] * 2
    assert not graph.features.any()
    assert graph.numbers[graph.absorbers].tolist() == [29] * 4
    assert np.linalg.norm(graph.vectors, axis=1).max() < CUTOFF


def test_tenorite_is_as_published():
    graph = crystal_graph(read(TENORITE), "Cu")
    assert graph.environments == ("Cu(O4)",) * 4
    oxygens = (graph.edges[1] == graph.absorbers[0]) & (graph.numbers[graph.edges[0]] == 8)
    distances = sorted(np.linalg.norm(graph.vectors[oxygens], axis=1))
    assert distances[:5] == pytest.approx([1.951, 1.951, 1.961, 1.961, 2.784], abs=2e-3)


COD = TENORITE.replace("'C 1 2/c 1'", "'-C 2yc'").replace("Int_Tables_number 15", "Int_Tables_number ?")
LABELS = TENORITE.replace("_atom_site_type_symbol\n", "").replace(" Cu2+", "").replace(" O2-", "")
SELECTIVE = (
    TENORITE_POSCAR.replace("O Cu", "O_s Cu_pv/6a2f546d")
    .replace("Direct", "Selective dynamics\nDirect")
    .replace("5\n", "5 T T F\n")
    .replace("0\n", "0 T T F\n")
    .replace("1.0 T T F", "1.0")
)
NUMBERED = (
    TENORITE.replace("_symmetry_equiv_pos_as_xyz\n", "_space_group_symop_id\n_space_group_symop_operation_xyz\n")
    .replace("\nx,y,z", "\n1 'x, y, z'")
    .replace("\n-x,y,-z+1/2", "\n2 '-X, Y, 0.5-Z'")
    .replace("\n-x,-y,-z", "\n3 '-x, -y, -z'")
    .replace("\nx,-y,z+1/2", "\n4 'x,-y,1/2+z'")
    .replace("\nx+1/2,y+1/2,z", "\n5 1/2+x,1/2+y,z")
    .replace("\n-x+1/2,y+1/2,-z+1/2", "\n6 1/2-x,1/2+y,1/2-z")
    .replace("\n-x+1/2,-y+1/2,-z", "\n7 1/2-x,1/2-y,-z")
    .replace("\nx+1/2,-y+1/2,z+1/2", "\n8 x+1/2,-y+1/2,z+1/2")
)


@pytest.mark.parametrize(
    "spelling",
    [
        COD,
        LABELS,
        NUMBERED,
        TENORITE.replace("Cu2+", "CU").replace("0.25 0.25 0. 1.0", "-0.75 1.25(1) 0 ?"),
        TENORITE.replace("\n", "\n\n").replace("data_tenorite", "DATA_tenorite").replace("_cell_", "_CELL_"),
        TENORITE_POSCAR,
        SELECTIVE,
        TENORITE_POSCAR.replace("tenorite, oxygen first", "O4 Cu4").replace("\nO Cu\n", "\n"),
        TENORITE_POSCAR.replace("4 4", "4 4 ! atoms").replace("\nO Cu", "\n O  Cu ! oxide") + "\n" + "0 0 0\n" * 8,
    ],
)
def test_every_spelling_gives_the_same_graph(spelling: str):
    assert same(crystal_graph(read(TENORITE), "Cu", "O"), crystal_graph(read(spelling), "Cu", "O"))


@pytest.mark.parametrize("text", [COPPER, CUPRITE, TENORITE])
def test_the_choice_of_cell_does_not_matter(text: str):
    crystal = read(text)
    graph = crystal_graph(crystal, "Cu")
    for times in (2, 3):
        assert same(graph, crystal_graph(repeated(crystal, times), "Cu"), times)
    skewed = np.array([[1, 0, 0], [7, 1, 0], [-3, 2, 1]]) @ crystal.cell
    assert same(graph, crystal_graph(Crystal(crystal.numbers, crystal.positions, skewed), "Cu"))
    elsewhere = crystal.positions + np.array([0.3, -7, 12])
    assert same(graph, crystal_graph(Crystal(crystal.numbers, elsewhere, crystal.cell), "Cu"))


def by_image(crystal: Crystal, graph: AtomGraph) -> dict[tuple[int, ...], np.ndarray]:
    senders, receivers = graph.edges
    images = (graph.vectors - crystal.positions[senders] + crystal.positions[receivers]) @ np.linalg.inv(crystal.cell)
    assert images == pytest.approx(images.round(), abs=1e-5)
    return {
        (*edge, *image): v
        for *edge, image, v in zip(senders, receivers, images.round().astype(int), graph.vectors, strict=True)
    }


def test_vectors_point_from_receiver_to_sender_and_turn_with_the_crystal():
    crystal = read(TENORITE)
    turn = Rotation.from_rotvec([0.3, -1.1, 0.7]).as_matrix().T
    turned = Crystal(crystal.numbers, crystal.positions @ turn, crystal.cell @ turn)
    before, after = (by_image(each, crystal_graph(each, "Cu")) for each in (crystal, turned))
    assert before.keys() == after.keys()
    assert all(after[edge] == pytest.approx(before[edge] @ turn, abs=1e-5) for edge in before)
    assert crystal_graph(turned, "Cu").environments == crystal_graph(crystal, "Cu").environments


def test_a_skewed_lattice_is_read_by_its_shortest_vectors():
    skewed = COPPER.replace(".5 .5 0\n", "50.5 100.5 150\n")
    assert same(crystal_graph(read(COPPER), "Cu"), crystal_graph(read(skewed), "Cu"))


def box(*sites: str) -> str:
    """Return the POSCAR of a box of 10 Å with atoms as in "Cu 1 2 3"."""
    symbols, places = zip(*(site.split(maxsplit=1) for site in sites), strict=True)
    lines = ["box", "1", "10 0 0", "0 10 0", "0 0 10", " ".join(symbols), " ".join("1" * len(symbols)), "Cartesian", *places]
    return "\n".join([*lines, ""])


@pytest.mark.parametrize(
    ("text", "environment"),
    [
        (CUPRITE, "Cu(O2)"),
        (box("Cu 0 0 0"), "Cu"),
        (box("Cu 0 0 0", "O 0 0 -2"), "Cu(O)"),
        (box("Cu 0 0 0", "As 2.4 0 0", "O 0 2 0", "As -2.4 0 0", "O 0 -2 0"), "Cu(As2)(O2)"),
        (box("Cu 0 0 0", "O 0 0 2", "Ba 3.3 0 0", "Cu 0 2.6 0"), "Cu(O)"),
        (box("Cu 0 0 0", "Ba 3.3 0 0", "Zn 0 2.6 0"), "Cu(Ba)(Zn)"),
        (box("Cu 0 0 0", "O 0 0 2", "O 0 0 -2.4"), "Cu(O)"),
    ],
)
def test_environments_name_the_first_shell(text: str, environment: str):
    assert set(crystal_graph(read(text), "Cu").environments) >= {environment}


def test_a_lone_atom_has_no_edges():
    graph = crystal_graph(read(box("Cu 0 0 0")), "Cu")
    assert (graph.edges.shape, graph.vectors.shape, graph.absorbers.tolist()) == ((2, 0), (0, 3), [0])


def test_a_group_of_one_setting_needs_no_operations():
    operations = TENORITE[TENORITE.index("loop_\n_symm") : TENORITE.index("loop_\n_atom")]
    cubic = TENORITE.replace(operations, "").replace("3.4226(5)", "4.6837").replace("5.1288(6)", "4.6837")
    cubic = cubic.replace("99.54(1)", "90").replace("_symmetry_cell_setting monoclinic\n", "")
    cubic = cubic.replace("0.25 0.25 0. 1.0", "0 0 0 1").replace("0. 0.4184(13) 0.25 1", "0.5 0.5 0.5 1")
    for name, number in (("'F m -3 m'", "225"), ("Fm-3m", "?"), ("?", "225")):
        text = cubic.replace("'C 1 2/c 1'", name).replace("number 15", f"number {number}")
        assert [chemical_symbols[z] for z in read(text).numbers] == ["Cu"] * 4 + ["O"] * 4
    for name, number in (("'F d -3 m'", "227"), ("?", "14"), ("'P b n m'", "62"), ("'F m -3 m'", "221"), ("?", "?")):
        text = cubic.replace("'C 1 2/c 1'", name).replace("number 15", f"number {number}")
        with pytest.raises(CandidateError, match=r"leaves axes and origin open; list them \(_space_group_symop_operation_xyz"):
            read(text)


def test_thirds_with_three_digits_are_special():
    operations = "x,y,z\n-y,x-y,z\n-x+y,-x,z\n"
    start, end = TENORITE.index("x,y,z"), TENORITE.index("loop_\n_atom")
    text = (TENORITE[:start] + operations + TENORITE[end:]).replace("0.25 0.25 0. 1.0", "0.333 0.667 0 1")
    text = text.replace("0. 0.4184(13) 0.25 1", "0 0 0.5 1").replace("3.4226(5)", "4.6837(5)").replace("99.54(1)", "90")
    assert len(read(text.replace("gamma 90", "gamma 120")).numbers) == 2


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("data_x\n", "the CIF lacks a cell or sites with fractional coordinates"),
        ("data_x\ndata_y\n", "it is not a valid CIF"),
        ("data_x\nloop_\n_a\n_b\n1 2 3\n", "it is not a valid CIF .*Wrong number 3 of tokens"),
        (TENORITE[: TENORITE.index("loop_")] + "loop_\n", "the CIF lacks a cell or sites"),
        (TENORITE.replace("_cell_angle_beta 99.54(1)\n", ""), "the CIF lacks a cell"),
        (TENORITE.replace("99.54(1)", "?"), "it is not a valid CIF"),
        (TENORITE.replace("0.25 1.0\n", "? 1.0\n").replace("0. 1.0", "? 1.0"), "it is not a valid CIF"),
        (TENORITE.replace(" 0.25 1\n", " 1\n"), "it is not a valid CIF"),
        (TENORITE.replace("0. 1.0", "0. 0.5"), "a site is occupied to 0.5; give an ordered structure"),
        (TENORITE.replace("_site_occupancy", "_site_disorder_group"), "its sites belong to disorder groups; give an ordered"),
        (TENORITE.replace("O2-", "Ow"), "the site 'Ow' names no element; give its _atom_site_type_symbol"),
        (LABELS.replace("Cu1", "CU1"), "the site 'CU1' names no element; give"),
        (TENORITE.replace("\n-x,y,-z+1/2", "\n-x,y"), "one of its symmetry operations is not in x, y and z; correct"),
        (TENORITE.replace("0. 0.4184(13) 0.25 1", "0.25 0.25 0 1"), "it is not a valid CIF .*equivalent"),
        (TENORITE.replace("0. 0.4184(13) 0.25 1", "0.25 0.27 0 1"), r"Cu\d and O\d are 0\.07 Å apart; correct positions"),
        (TENORITE.replace("Cu2+", "Ni2+"), "it holds no Cu, the absorber of this edge; remove"),
        (TENORITE.replace("3.4226(5)", "0.0"), "its cell has no volume|it is not a valid CIF"),
        (TENORITE.replace("alpha 90", "alpha 5"), "its cell has no volume|it is not a valid CIF"),
        (TENORITE + "Cu1 Cu 0.1 0.2 0.3 1\n" * 999, "its cell holds 1001 atoms, more than 1000; give a smaller cell"),
        ("", "it is not a valid POSCAR"),
        ("a\nb\nc\n", "it is not a valid POSCAR"),
        (COPPER.replace("Cu", "Qq"), "it is not a valid POSCAR"),
        (COPPER.replace("Cu", "Fm"), "it holds 'Fm', which no model knows; remove"),
        (COPPER.replace("Cu", "X"), "it holds 'X', which no model knows; remove"),
        (COPPER.replace("Cu", "Ag"), "it holds no Cu, the absorber of this edge; remove"),
        (COPPER.replace("Cu\n1", "1"), "the POSCAR names no elements; write them in a line above the numbers of atoms"),
        (COPPER.replace("Cu\n1", "1").replace("fcc", "Cu metal"), "the POSCAR names no elements"),
        (COPPER.replace("Cu\n1", "Cu O\n1"), "2 elements are named for 1 numbers of atoms; correct"),
        (COPPER.replace("Cu\n1", "Cu\n2"), "it is not a valid POSCAR"),
        (COPPER + ".5 .5 .5\n", "more positions follow than 1 atoms; correct"),
        (COPPER.replace("Cu\n1", "Cu\n1000000000"), "its cell holds 1000000000 atoms, more than 1000; give a smaller"),
        (COPPER.replace("Cu\n1\nDirect\n0 0 0", "Cu\n0\nDirect"), "the POSCAR holds no atom; correct"),
        (COPPER.replace("3.615", "0"), "its cell has no volume"),
        (COPPER.replace(".5 .5 0\n", ".5 .5 1\n"), "its cell has no volume, or a number is not finite; correct"),
        (COPPER.replace("\n0 0 0\n", "\n0 nan 0\n"), "a number is not finite; correct"),
        (COPPER.replace("3.615", "0.3615"), "its lattice repeats every 0.26 Å; correct the cell"),
        (box("Cu 0 0 0.1", "O 0 0 9.9"), r"Cu1 and O2 are 0\.20 Å apart; correct positions"),
    ],
)
def test_what_cannot_be_used_is_refused_with_its_place_and_a_remedy(text: str, message: str):
    with pytest.raises(CandidateError, match=rf"^list:7: candidate 'mine': .*(?:{message})") as refused:
        read(text)
    assert "; " in str(refused.value)


def test_one_of_several_absorbers_is_enough():
    assert len(read(TENORITE, "S", "O").numbers) == 8
    with pytest.raises(CandidateError, match="it holds no N or S, the absorbers of these edges"):
        read(TENORITE, "N", "S")


def test_a_molecule_is_no_crystal_and_a_crystal_no_molecule():
    with pytest.raises(CandidateError, match="candidate 'x': a SMILES holds no crystal; give a CIF or a POSCAR"):
        read_crystal(Candidate("x", "CCS"), "S")
    for form, name in (("cif", "CIF"), ("poscar", "POSCAR")):
        with pytest.raises(CandidateError, match=f"a {name} holds a crystal, not a molecule; give SMILES"):
            read_molecule(Candidate("x", "", "", form), "Cu")
