"""MobileNet v2 (Sandler et al. 2018)."""

from unifront.applications._models import application
from unifront.applications._preprocessing import decode_predictions, preprocessing

__all__ = ["MobileNetV2", "decode_predictions", "preprocess_input"]

_ARGUMENTS = "input_shape alpha include_top weights input_tensor pooling classes classifier_activation name"
MobileNetV2 = application("MobileNetV2", 224, named="mobilenetv2_{alpha:0.2f}_{rows}", arguments=_ARGUMENTS)
preprocess_input = preprocessing("tf")
