"""Predictions as plain JSON, for the pipe between the live process and the predictor; no pickle."""

from typing import Any

import numpy as np

from xas_bluesky.spectra import PredictedSpectra, Prediction

ARRAYS = ("energy", "mean", "std", "factors", "ionization")


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
    arrays = {name: getattr(spectra, name).tolist() for name in (*ARRAYS, "supported")}
    return {"edge": spectra.edge, "candidate": list(spectra.candidate), "model": spectra.model, **arrays}


def _spectra_from_wire(wire: dict[str, Any]) -> PredictedSpectra:
    return PredictedSpectra(
        edge=wire["edge"],
        candidate=tuple(wire["candidate"]),
        supported=np.array(wire["supported"], dtype=bool),
        model=wire["model"],
        **{name: np.array(wire[name], dtype=np.float64) for name in ARRAYS},
    )
