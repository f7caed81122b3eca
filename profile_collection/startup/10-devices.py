"""The devices: of the beamline.toml that XAS_BLUESKY_SETTINGS names, else the simulated beamline with methionine sulfone."""

from xas_bluesky.startup import make_devices, watch_beam

devices = make_devices()
energy, dwell, (scaler, *other_detectors) = devices.energy, devices.dwell, devices.detectors
shutter, ring_current, stage = devices.shutter, devices.ring_current, devices.stage
watch_beam(RE, devices)  # noqa: F821
