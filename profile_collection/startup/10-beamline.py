"""The devices: here the simulated beamline, with methionine sulfone mounted."""

from xas_bluesky.beamline_sim import SimulatedBeamline
from xas_bluesky.demo import known_sample

beamline = SimulatedBeamline(known_sample(), "S K")
energy, dwell, scaler = beamline.energy, beamline.dwell, beamline.scaler
