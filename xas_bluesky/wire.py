"""Predictions as plain JSON, arrays as text of their bytes, for the pipe to the predictor's process; no pickle."""

import base64
from typing import Any

import numpy as np

from xas_bluesky.spectra import Array, PredictedSpectra, Prediction

ARRAYS = ("energy", "mean", "std", "factors", "ionization", "distance")


def prediction_to_wire(prediction: Prediction) -> dict[str, Any]:
    """Return a prediction as JSON values."""
    return {
        "spectra": _spectra_to_wire(prediction.spectra),
        "population": _spectra_to_wire(prediction.population),
        "rejected": list(prediction.rejected),
    }


def prediction_from_wire(wire: dict[str, Any]) -> Prediction:
    """Return the prediction that `prediction_to_wire` wrote."""
    return Prediction(_spectra_from_wire(wire["spectra"]), _spectra_from_wire(wire["population"]), tuple(wire["rejected"]))


def _spectra_to_wire(spectra: PredictedSpectra) -> dict[str, Any]:
    arrays = {name: _array_to_wire(getattr(spectra, name)) for name in (*ARRAYS, "supported")}
    return {"edge": spectra.edge, "candidate": list(spectra.candidate), "model": spectra.model, **arrays}


def _spectra_from_wire(wire: dict[str, Any]) -> PredictedSpectra:
    return PredictedSpectra(
        edge=wire["edge"],
        candidate=tuple(wire["candidate"]),
        supported=_array_from_wire(wire["supported"]) != 0,
        model=wire["model"],
        **{name: _array_from_wire(wire[name]) for name in ARRAYS},
    )


def _array_to_wire(array: Any) -> dict[str, Any]:
    return {"shape": list(array.shape), "float64": base64.b64encode(array.astype("<f8").tobytes()).decode("ascii")}


def _array_from_wire(wire: dict[str, Any]) -> Array:
    return np.frombuffer(base64.b64decode(wire["float64"]), dtype="<f8").reshape(wire["shape"]).astype(np.float64)
