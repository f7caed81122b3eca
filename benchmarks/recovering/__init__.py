"""The parts of benchmarks/whole_spectrum.py."""
