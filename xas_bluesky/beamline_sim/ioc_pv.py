"""Caproto's way to declare a PV, without its annotations: they do not allow methods of a group to be its hooks."""

from typing import Any

from caproto import server

pvproperty: Any = server.pvproperty
