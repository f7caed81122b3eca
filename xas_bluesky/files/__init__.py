"""Spectra and candidates from text files, and scans as files to take home (docs/decisions/0002-reading-files.md)."""

from xas_bluesky.files.candidate_file import read_candidates
from xas_bluesky.files.spectrum_file import read_spectrum
from xas_bluesky.files.xdi_file import save_xdi, write_xdi, xdi_path

__all__ = ["read_candidates", "read_spectrum", "save_xdi", "write_xdi", "xdi_path"]
