"""Name the sample while its X-ray absorption spectrum is being measured."""
