"""Inception-ResNet v2 (Szegedy et al. 2016)."""

from unifront.applications._models import application
from unifront.applications._preprocessing import decode_predictions, preprocessing

__all__ = ["InceptionResNetV2", "decode_predictions", "preprocess_input"]

InceptionResNetV2 = application("InceptionResNetV2", 299, 75, name="inception_resnet_v2")
preprocess_input = preprocessing("tf")
