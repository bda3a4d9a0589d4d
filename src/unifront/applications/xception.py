"""Xception (Chollet 2016)."""

from unifront.applications._models import application
from unifront.applications._preprocessing import decode_predictions, preprocessing

__all__ = ["Xception", "decode_predictions", "preprocess_input"]

Xception = application("Xception", 299, 71, name="xception")
preprocess_input = preprocessing("tf")
