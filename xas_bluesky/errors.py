"""The exceptions of xas_bluesky.

XASError
├── InputError            something a user gave: file, candidate, edge, setting
│   ├── SpectrumError     a measured spectrum that cannot be used
│   ├── CandidateError    a structure that cannot be used
│   ├── DatasetError      a file of core excitations that cannot be used
│   ├── EdgeError         an edge that is unknown, or that no model covers
│   └── SettingsError     a settings file or an option
├── CatalogError          a Tiled catalog that cannot be reached, opened or written
├── ModelError            model weights that are missing, broken or foreign
├── DeviceError           a device of the beamline that does not answer, or did not do as told
├── CalculationError      a first-principles calculation that failed
└── PredictionError       the predictor process failed or went away

A message says what is wrong, where, and what to do. The command line prints it and exits with code 2.
"""


class XASError(Exception):
    """Base of every error raised on purpose by this package."""


class InputError(XASError, ValueError):
    """Reject something that a user gave."""


class SpectrumError(InputError):
    """Reject a measured spectrum."""


class CandidateError(InputError):
    """Reject a candidate structure or a list of them."""


class DatasetError(InputError):
    """Reject a file of core excitations."""


class EdgeError(InputError):
    """Reject an absorption edge."""


class SettingsError(InputError):
    """Reject a setting."""


class CatalogError(XASError):
    """Report a catalog that cannot be reached, opened or written."""


class ModelError(XASError):
    """Report model weights that cannot be used."""


class DeviceError(XASError):
    """Report a device of the beamline that does not answer, or did not do as it was told."""


class CalculationError(XASError):
    """Report a first-principles calculation that failed."""


class PredictionError(XASError):
    """Report a predictor that failed or went away."""
