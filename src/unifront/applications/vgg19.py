"""VGG-19 (Simonyan and Zisserman 2014)."""

from unifront.applications._models import application
from unifront.applications._preprocessing import decode_predictions, preprocessing

__all__ = ["VGG19", "decode_predictions", "preprocess_input"]

VGG19 = application("VGG19", 224, name="vgg19")
preprocess_input = preprocessing("caffe")
