"""ResNet, version 2 (He et al. 2016)."""

from unifront.applications._models import application
from unifront.applications._preprocessing import decode_predictions, preprocessing

__all__ = ["ResNet50V2", "ResNet101V2", "ResNet152V2", "decode_predictions", "preprocess_input"]

ResNet50V2 = application("ResNet50V2", 224, name="resnet50v2")
ResNet101V2 = application("ResNet101V2", 224, name="resnet101v2")
ResNet152V2 = application("ResNet152V2", 224, name="resnet152v2")
preprocess_input = preprocessing("tf")
