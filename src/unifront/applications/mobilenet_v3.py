"""MobileNet v3 (Howard et al. 2019). Keras has the functions in ``keras.applications`` alone."""

from unifront.applications._models import application
from unifront.applications._preprocessing import decode_predictions
from unifront.applications._preprocessing import unchanged as preprocess_input

__all__ = ["MobileNetV3Large", "MobileNetV3Small", "decode_predictions", "preprocess_input"]

_ARGUMENTS = (
    "input_shape alpha minimalistic include_top weights input_tensor classes pooling dropout_rate "
    "classifier_activation include_preprocessing name"
)
MobileNetV3Large = application(
    "MobileNetV3Large", 224, name="MobileNetV3Large", arguments=_ARGUMENTS, fixed_top=False
)
MobileNetV3Small = application(
    "MobileNetV3Small", 224, name="MobileNetV3Small", arguments=_ARGUMENTS, fixed_top=False
)
