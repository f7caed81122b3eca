"""The published kind of network, to measure ours against: bonds and their lengths in, a molecule's spectrum out."""

from dataclasses import dataclass
from functools import cache
from pathlib import Path

import torch
from rdkit import Chem, RDConfig
from rdkit.Chem import rdMolChemicalFeatures
from torch import Tensor, nn
from torch_geometric.data import Batch, Data
from torch_geometric.nn.aggr import Set2Set

ELEMENTS = (1, 5, 6, 7, 8, 9, 14, 15, 16, 17, 33, 34, 35, 53)
HYBRIDIZATIONS = (Chem.HybridizationType.SP, Chem.HybridizationType.SP2, Chem.HybridizationType.SP3)
BOND_TYPES = (Chem.BondType.SINGLE, Chem.BondType.DOUBLE, Chem.BondType.TRIPLE, Chem.BondType.AROMATIC)

ATOM_FEATURES = len(ELEMENTS) + len(HYBRIDIZATIONS) + 5
BOND_FEATURES = len(BOND_TYPES) + 3

EDGE_HIDDEN = 128
"""Width of the hidden layer between a bond's features and its matrix."""


def bond_graph(molecule: Chem.Mol) -> Data:
    """Make the graph of the bonds of a molecule that has a conformer and explicit hydrogens.

    `z` (n,): atomic numbers. `x` (n, 22): element as one of ELEMENTS (all zero for any other), atomic number / 10,
    hybridization as one of sp, sp2, sp3, aromatic, number of hydrogens / 4, hydrogen-bond donor, acceptor (both as in RDKit's
    BaseFeatures.fdef). `edge_index` (2, 2b) sender and receiver, the two directions of a bond next to each other; `edge_attr`
    (2b, 7), the same both ways: type as one of BOND_TYPES, conjugated, in a ring, length in Å. All but the two bond flags are
    those of Gilmer et al. (arXiv 1704.01212).
    """
    donors, acceptors = (_atoms_of(molecule, family) for family in ("Donor", "Acceptor"))
    atoms = [[*_atom_features(atom), atom.GetIdx() in donors, atom.GetIdx() in acceptors] for atom in molecule.GetAtoms()]
    positions = torch.from_numpy(molecule.GetConformer().GetPositions())
    bonds = list(molecule.GetBonds())
    ends = torch.tensor([(bond.GetBeginAtomIdx(), bond.GetEndAtomIdx()) for bond in bonds], dtype=torch.long).view(-1, 2)
    kinds = torch.tensor([_bond_features(bond) for bond in bonds], dtype=torch.float32).view(-1, BOND_FEATURES - 1)
    lengths = (positions[ends[:, 0]] - positions[ends[:, 1]]).norm(dim=1, keepdim=True).float()
    return Data(
        x=torch.tensor(atoms, dtype=torch.float32),
        z=torch.tensor([atom.GetAtomicNum() for atom in molecule.GetAtoms()]),
        edge_index=torch.stack([ends.flatten(), ends.flip(1).flatten()]),
        edge_attr=torch.cat([kinds, lengths], dim=1).repeat_interleave(2, dim=0),
    )


def _atom_features(atom: Chem.Atom) -> list[float]:
    return [
        *(atom.GetAtomicNum() == number for number in ELEMENTS),
        atom.GetAtomicNum() / 10,
        *(atom.GetHybridization() == hybridization for hybridization in HYBRIDIZATIONS),
        atom.GetIsAromatic(),
        atom.GetTotalNumHs(includeNeighbors=True) / 4,
    ]


def _bond_features(bond: Chem.Bond) -> list[float]:
    return [*(bond.GetBondType() == kind for kind in BOND_TYPES), bond.GetIsConjugated(), bond.IsInRing()]


def _atoms_of(molecule: Chem.Mol, family: str) -> set[int]:
    return {index for pattern in _patterns(family) for (index,) in molecule.GetSubstructMatches(pattern)}


@cache
def _patterns(family: str) -> list[Chem.Mol]:
    factory = rdMolChemicalFeatures.BuildFeatureFactory(str(Path(RDConfig.RDDataDir) / "BaseFeatures.fdef"))
    definitions: dict[str, str] = factory.GetFeatureDefs()
    return [Chem.MolFromSmarts(smarts) for name, smarts in definitions.items() if name.startswith(f"{family}.")]


@dataclass(frozen=True, slots=True)
class MessagePassingSettings:
    """Set the size of the network; `points` is the length of the spectrum."""

    points: int
    hidden: int = 64
    messages: int = 3
    set2set_steps: int = 3


class MessagePassing(nn.Module):
    """Predict molecular spectra: output layers ∘ Set2Set ∘ (gated recurrent unit ∘ messages along bonds) ∘ atom features.

    The network of Gilmer et al. (arXiv 1704.01212), which Carbone, Topsakal, Lu and Yoo taught O and N K-edge spectra of
    molecules (Phys. Rev. Lett. 124, 156401, 2020, doi:10.1103/PhysRevLett.124.156401). It reads the batch of several
    `bond_graph`s. The readout is of the whole molecule: one spectrum for it, none for its absorbers.
    """

    def __init__(self, settings: MessagePassingSettings) -> None:
        super().__init__()
        self.settings = settings
        hidden = settings.hidden
        self.embedding = nn.Sequential(nn.Linear(ATOM_FEATURES, hidden), nn.ReLU())
        self.edge_network = nn.Sequential(
            nn.Linear(BOND_FEATURES, EDGE_HIDDEN), nn.ReLU(), nn.Linear(EDGE_HIDDEN, hidden * hidden)
        )
        self.update = nn.GRUCell(hidden, hidden)
        self.readout = Set2Set(hidden, settings.set2set_steps)
        self.output = nn.Sequential(nn.Linear(2 * hidden, 2 * hidden), nn.ReLU(), nn.Linear(2 * hidden, settings.points))

    def forward(self, batch: Batch) -> Tensor:
        """Return (graphs, points), in the order of the graphs."""
        edges, matrices = batch["edge_index"], self.matrices(batch["edge_attr"])
        atoms = self.embedding(batch["x"])
        for _ in range(self.settings.messages):
            atoms = self.update(pass_messages(atoms, edges, matrices), atoms)
        return self.output(self.readout(atoms, batch["batch"], dim_size=batch.num_graphs))

    def matrices(self, bonds: Tensor) -> Tensor:
        """Return the matrix of each bond (b, hidden, hidden) from `edge_attr` (2b, 7); it serves all rounds of messages."""
        return self.edge_network(bonds[::2]).view(-1, self.settings.hidden, self.settings.hidden)


def pass_messages(atoms: Tensor, edges: Tensor, matrices: Tensor) -> Tensor:
    """Return what each atom receives (n, hidden): its neighbours' states, each times the matrix of the bond, summed.

    This is the message of PyTorch Geometric's NNConv, which would compute the matrices anew in each round and for each
    direction of a bond. `edges` (2, 2b): the two directions of a bond next to each other.
    """
    senders, receivers = edges
    messages = torch.bmm(atoms[senders].view(-1, 2, atoms.shape[1]), matrices).flatten(0, 1)
    return messages.new_zeros(atoms.shape).index_add_(0, receivers, messages)
