"""Predictions as plain JSON, arrays as text of their bytes, for the pipes to other processes; no pickle."""

import base64
from typing import Any

import numpy as np

from xas_bluesky.spectra import TEXTS, Array, PredictedSpectra, Prediction

ARRAYS = ("energy", "mean", "std", "factors", "ionization", "distance")


def prediction_to_wire(prediction: Prediction) -> dict[str, Any]:
    """Return a prediction as JSON values."""
    return {
        "spectra": spectra_to_wire(prediction.spectra),
        "population": spectra_to_wire(prediction.population),
        "rejected": list(prediction.rejected),
    }


def prediction_from_wire(wire: dict[str, Any]) -> Prediction:
    """Return the prediction that `prediction_to_wire` wrote."""
    return Prediction(spectra_from_wire(wire["spectra"]), spectra_from_wire(wire["population"]), tuple(wire["rejected"]))


def spectra_to_wire(spectra: PredictedSpectra) -> dict[str, Any]:
    """Return predicted spectra as JSON values."""
    arrays = {name: array_to_wire(getattr(spectra, name)) for name in (*ARRAYS, "supported")}
    names = {name: list(getattr(spectra, name)) for name in ("candidate", *TEXTS)}
    return {"edge": spectra.edge, "model": spectra.model, **names, **arrays}


def spectra_from_wire(wire: dict[str, Any]) -> PredictedSpectra:
    """Return the spectra that `spectra_to_wire` wrote."""
    arrays: dict[str, Any] = {name: array_from_wire(wire[name]) for name in ARRAYS}
    texts: dict[str, Any] = {name: tuple(wire[name]) for name in ("candidate", *TEXTS)}
    supported = array_from_wire(wire["supported"]) != 0
    return PredictedSpectra(edge=wire["edge"], model=wire["model"], supported=supported, **texts, **arrays)


def array_to_wire(array: Any) -> dict[str, Any]:
    """Return an array of numbers as JSON values."""
    return {"shape": list(array.shape), "float64": base64.b64encode(array.astype("<f8").tobytes()).decode("ascii")}


def array_from_wire(wire: dict[str, Any]) -> Array:
    """Return the array that `array_to_wire` wrote, of float64."""
    return np.frombuffer(base64.b64decode(wire["float64"]), dtype="<f8").reshape(wire["shape"]).astype(np.float64)
