"""Prediction: from candidates to spectra with uncertainty, in a process of its own."""

from xas_bluesky.prediction.predictor import Predictor, shipped_model

__all__ = ["Predictor", "shipped_model"]
