"""NASNet (Zoph et al. 2017)."""

from unifront.applications._models import application
from unifront.applications._preprocessing import decode_predictions, preprocessing

__all__ = ["NASNetLarge", "NASNetMobile", "decode_predictions", "preprocess_input"]

_ARGUMENTS = "input_shape include_top weights input_tensor pooling classes classifier_activation name"
NASNetLarge = application("NASNetLarge", 331, name="nasnet_large", arguments=_ARGUMENTS)
NASNetMobile = application("NASNetMobile", 224, name="nasnet_mobile", arguments=_ARGUMENTS, fixed_body=True)
preprocess_input = preprocessing("tf")
