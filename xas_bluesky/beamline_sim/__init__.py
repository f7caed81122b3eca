"""A simulated beamline made from a known spectrum."""

from xas_bluesky.beamline_sim.beamline import SimulatedBeamline
from xas_bluesky.beamline_sim.sample import MuOfEnergy, broadened, mu_of_energy
from xas_bluesky.beamline_sim.settings import BeamlineSettings

__all__ = ["BeamlineSettings", "MuOfEnergy", "SimulatedBeamline", "broadened", "mu_of_energy"]
