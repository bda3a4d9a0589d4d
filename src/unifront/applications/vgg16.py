"""VGG-16 (Simonyan and Zisserman 2014)."""

from unifront.applications._models import application
from unifront.applications._preprocessing import decode_predictions, preprocessing

__all__ = ["VGG16", "decode_predictions", "preprocess_input"]

VGG16 = application("VGG16", 224, name="vgg16")
preprocess_input = preprocessing("caffe")
