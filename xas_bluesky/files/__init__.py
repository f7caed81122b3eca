"""Spectra and candidates from text files (docs/decisions/0002-reading-files.md)."""

from xas_bluesky.files.candidate_file import read_candidates
from xas_bluesky.files.spectrum_file import read_spectrum

__all__ = ["read_candidates", "read_spectrum"]
