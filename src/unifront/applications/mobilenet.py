"""MobileNet (Howard et al. 2017)."""

from unifront.applications._models import application
from unifront.applications._preprocessing import decode_predictions, preprocessing

__all__ = ["MobileNet", "decode_predictions", "preprocess_input"]

_ARGUMENTS = (
    "input_shape alpha depth_multiplier dropout include_top weights input_tensor pooling classes "
    "classifier_activation name"
)
MobileNet = application("MobileNet", 224, named="mobilenet_{alpha:0.2f}_{rows}", arguments=_ARGUMENTS)
preprocess_input = preprocessing("tf")
