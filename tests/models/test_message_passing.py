import pytest
import torch
from rdkit import Chem
from torch import Tensor
from torch_geometric.data import Batch
from torch_geometric.nn import NNConv

from xas_bluesky.candidates import Candidate
from xas_bluesky.models.message_passing import MessagePassing, MessagePassingSettings, bond_graph, pass_messages
from xas_bluesky.structures import embed, read_molecule

SMILES = ("CC(=O)O", "c1ccncc1", "[S]", "N#CC=O", "CSC")


def molecule(smiles: str) -> Chem.Mol:
    return embed(read_molecule(Candidate("x", smiles), "C", "N", "O", "F", "S"), "x")


def batch(*molecules: Chem.Mol) -> Batch:
    return Batch.from_data_list([bond_graph(each) for each in molecules])


@pytest.fixture(scope="module")
def molecules() -> list[Chem.Mol]:
    return [molecule(smiles) for smiles in SMILES]


@pytest.fixture(scope="module")
def network() -> MessagePassing:
    torch.manual_seed(0)
    return MessagePassing(MessagePassingSettings(points=7, hidden=16)).eval()


def spectra(network: MessagePassing, *molecules: Chem.Mol) -> Tensor:
    with torch.inference_mode():
        return network(batch(*molecules))


def test_a_graph_says_what_its_atoms_and_bonds_are():
    acid = molecule("CC(=O)O")
    graph = bond_graph(acid)
    atoms, edges, features = graph["x"], graph["edge_index"], graph["edge_attr"]
    assert atoms.shape == (8, 22)
    assert edges.shape == (2, 14)
    donors, acceptors = ([atom.GetIdx() for atom in acid.GetAtoms() if atoms[atom.GetIdx(), column]] for column in (20, 21))
    assert [acid.GetAtomWithIdx(index).GetTotalNumHs(includeNeighbors=True) for index in donors] == [1]
    assert {acid.GetAtomWithIdx(index).GetSymbol() for index in acceptors} == {"O"}
    assert len(acceptors) == 2
    for bond in range(14):
        sender, receiver = (int(end) for end in edges[:, bond])
        bonded = acid.GetBondBetweenAtoms(sender, receiver)
        assert bool(features[bond, 1]) == (bonded.GetBondType() == Chem.BondType.DOUBLE)
        length = Chem.Get3DDistanceMatrix(acid)[sender, receiver]
        assert float(features[bond, -1]) == pytest.approx(length, abs=1e-5)
        assert torch.equal(edges[:, bond], edges[:, bond ^ 1].flip(0))


def test_messages_are_those_of_nnconv(network: MessagePassing, molecules: list[Chem.Mol]):
    torch.manual_seed(1)
    joined = batch(*molecules)
    atoms = torch.randn(len(joined["x"]), 16)
    published = NNConv(16, 16, network.edge_network, aggr="add", root_weight=False, bias=False)
    with torch.inference_mode():
        ours = pass_messages(atoms, joined["edge_index"], network.matrices(joined["edge_attr"]))
        theirs = published(atoms, joined["edge_index"], joined["edge_attr"])
    assert theirs.abs().mean() > 0.1
    assert torch.allclose(ours, theirs, atol=1e-5)


@pytest.mark.parametrize("smiles", SMILES)
def test_the_order_of_atoms_does_not_matter(network: MessagePassing, smiles: str):
    found = molecule(smiles)
    order = torch.randperm(found.GetNumAtoms(), generator=torch.Generator().manual_seed(3)).tolist()
    assert torch.allclose(spectra(network, found), spectra(network, Chem.RenumberAtoms(found, order)), atol=1e-5)


def test_what_else_is_in_the_batch_does_not_matter(network: MessagePassing, molecules: list[Chem.Mol]):
    together = spectra(network, *molecules)
    alone = torch.cat([spectra(network, each) for each in molecules])
    assert together.shape == (5, 7)
    assert torch.allclose(together, alone, atol=1e-5)


def test_lengths_of_bonds_do_matter(network: MessagePassing):
    found = molecule("CSC")
    stretched = Chem.Mol(found)
    stretched.GetConformer().SetPositions(found.GetConformer().GetPositions() * 1.1)
    assert not torch.allclose(spectra(network, found), spectra(network, stretched), atol=1e-4)


def test_an_isolated_atom_has_a_spectrum(network: MessagePassing):
    found = spectra(network, molecule("[S]"))
    assert found.shape == (1, 7)
    assert torch.isfinite(found).all()


def test_runs_in_mixed_precision(network: MessagePassing, molecules: list[Chem.Mol]):
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = spectra(network, *molecules)
    assert torch.allclose(found.float(), spectra(network, *molecules), atol=0.02)


def test_overfits_a_tiny_set(molecules: list[Chem.Mol]):
    torch.manual_seed(0)
    network = MessagePassing(MessagePassingSettings(points=7, hidden=32))
    joined = batch(*molecules[:3])
    goal = torch.randn(3, 7)
    optimizer = torch.optim.Adam(network.parameters(), lr=3e-3)
    for _ in range(200):
        loss = (network(joined) - goal).abs().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    with torch.inference_mode():
        assert (network(joined) - goal).abs().mean() < 0.05 * goal.abs().mean()
