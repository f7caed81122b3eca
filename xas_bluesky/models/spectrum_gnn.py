"""The network: a structure's graph in, the spectrum of each of its absorbers out."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor, nn

from xas_bluesky.models.batching import GraphBatch
from xas_bluesky.models.bodies import Body


class NetworkSettings(BaseModel):
    """Set the size of the network; `points`: length of the spectra of each edge."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    points: dict[str, int]
    body: Literal["painn", "schnet"] = "painn"
    width: int = Field(64, ge=4)
    radial: int = Field(20, ge=4)
    rounds: int = Field(3, ge=1)
    trunk: int = Field(128, ge=4)
    dropout: float = Field(0.1, ge=0, lt=1)


class SpectrumGNN(nn.Module):
    """Predict site spectra: a head per edge ∘ trunk ∘ the absorber's states ∘ messages between neighbours.

    Only distances and angles enter, so rotation, translation and atom order do not matter. What is read out is the absorbing
    atom's state, not the structure's mean, because the spectrum is local. A head (`heads[edge]`) gives, from latent states
    (k, trunk), outputs (k, points + 2), scaled as in `Scaling`: the spectrum, the ionization energy, and the logarithm of
    the error that the network expects.
    """

    def __init__(self, settings: NetworkSettings) -> None:
        super().__init__()
        self.settings = settings
        self.body = Body(settings.body, settings.width, settings.radial, settings.rounds)
        self.trunk = nn.Sequential(
            nn.Linear(self.body.size, settings.trunk),
            nn.SiLU(),
            nn.Dropout(settings.dropout),
            nn.Linear(settings.trunk, settings.trunk),
            nn.SiLU(),
            nn.Dropout(settings.dropout),
        )
        self.heads = nn.ModuleDict({edge: nn.Linear(settings.trunk, points + 2) for edge, points in settings.points.items()})

    def forward(self, batch: GraphBatch) -> Tensor:
        """Return the latent states (absorbers in the batch, trunk), in the order of the graphs and their absorbers."""
        return self.trunk(self.body(batch))
