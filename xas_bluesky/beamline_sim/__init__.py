"""A simulated beamline made from known spectra."""

from xas_bluesky.beamline_sim.beamline import SimulatedBeamline
from xas_bluesky.beamline_sim.sample import FragileSample, MuOfEnergy, Sample, broadened, mu_of_energy
from xas_bluesky.beamline_sim.settings import BeamlineSettings

__all__ = ["BeamlineSettings", "FragileSample", "MuOfEnergy", "Sample", "SimulatedBeamline", "broadened", "mu_of_energy"]
