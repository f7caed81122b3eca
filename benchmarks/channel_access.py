"""Measure how many points a second a conventional scan makes over Channel Access on the loopback.

Usage: python benchmarks/channel_access.py [POINTS]

Each of the POINTS (default 200) is a move, a count of all 15 channels, and their reading. The served beamline spends no
simulated time on them, so that what is left is what Channel Access, the devices and the RunEngine cost.
"""

import socket
import subprocess
import sys
import tempfile
import time
from importlib.resources import files
from pathlib import Path

import numpy as np
from bluesky import RunEngine

from xas_bluesky.config import load_settings
from xas_bluesky.decision import ScanRequest
from xas_bluesky.devices import connect_devices
from xas_bluesky.plans import xas_scan

SPECTRUM = files("xas_bluesky") / "data" / "measured" / "cysteine.csv"


def points_per_second(settings_file: Path, points: int) -> float:
    """Scan over so many points."""
    settings = load_settings(settings_file)
    devices = connect_devices(settings)
    request = ScanRequest(2460 + 0.2 * np.arange(points), np.ones(points))
    plan = xas_scan(
        devices.energy, devices.dwell, devices.detectors, request, edge="S K", sample="cysteine", settings=settings
    )
    began = time.perf_counter()
    RunEngine({})(plan)
    return points / (time.perf_counter() - began)


def main() -> None:
    """Serve, scan, and print the points per second."""
    points = int(sys.argv[1]) if len(sys.argv) > 1 else 200
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with tempfile.TemporaryDirectory() as folder:
        toml = Path(folder) / "beamline.toml"
        options = ["--edge", "S K", "--port", str(port), "--settings", str(toml), "--time-scale", "0"]
        command = [sys.executable, "-m", "xas_bluesky.cli", "ioc", str(SPECTRUM), *options]
        with subprocess.Popen(command, stdout=subprocess.PIPE) as ioc:  # noqa: S603
            try:
                assert ioc.stdout is not None  # noqa: S101
                ioc.stdout.readline()
                print(f"{points_per_second(toml, points):.1f} points/s")
            finally:
                ioc.kill()


if __name__ == "__main__":
    main()
