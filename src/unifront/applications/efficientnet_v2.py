"""EfficientNet v2 (Tan and Le 2021)."""

from unifront.applications._models import STANDARD, application
from unifront.applications._preprocessing import decode_predictions
from unifront.applications._preprocessing import unchanged as preprocess_input

__all__ = [
    "EfficientNetV2B0",
    "EfficientNetV2B1",
    "EfficientNetV2B2",
    "EfficientNetV2B3",
    "EfficientNetV2L",
    "EfficientNetV2M",
    "EfficientNetV2S",
    "decode_predictions",
    "preprocess_input",
]

_ARGUMENTS = STANDARD.replace("name", "include_preprocessing name")
EfficientNetV2B0 = application("EfficientNetV2B0", 224, name="efficientnetv2-b0", arguments=_ARGUMENTS)
EfficientNetV2B1 = application("EfficientNetV2B1", 240, name="efficientnetv2-b1", arguments=_ARGUMENTS)
EfficientNetV2B2 = application("EfficientNetV2B2", 260, name="efficientnetv2-b2", arguments=_ARGUMENTS)
EfficientNetV2B3 = application("EfficientNetV2B3", 300, name="efficientnetv2-b3", arguments=_ARGUMENTS)
EfficientNetV2S = application("EfficientNetV2S", 384, name="efficientnetv2-s", arguments=_ARGUMENTS)
EfficientNetV2M = application("EfficientNetV2M", 480, name="efficientnetv2-m", arguments=_ARGUMENTS)
EfficientNetV2L = application("EfficientNetV2L", 480, name="efficientnetv2-l", arguments=_ARGUMENTS)
