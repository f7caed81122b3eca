"""A beamline's devices over EPICS Channel Access, from what its beamline.toml says of them."""

from xas_bluesky.devices.connecting import connect_devices

__all__ = ["connect_devices"]
