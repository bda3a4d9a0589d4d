"""Inception v3 (Szegedy et al. 2015)."""

from unifront.applications._models import application
from unifront.applications._preprocessing import decode_predictions, preprocessing

__all__ = ["InceptionV3", "decode_predictions", "preprocess_input"]

InceptionV3 = application("InceptionV3", 299, 75, name="inception_v3")
preprocess_input = preprocessing("tf")
