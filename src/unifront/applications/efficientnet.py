"""EfficientNet (Tan and Le 2019)."""

from unifront.applications._models import application
from unifront.applications._preprocessing import decode_predictions
from unifront.applications._preprocessing import unchanged as preprocess_input

__all__ = [
    "EfficientNetB0",
    "EfficientNetB1",
    "EfficientNetB2",
    "EfficientNetB3",
    "EfficientNetB4",
    "EfficientNetB5",
    "EfficientNetB6",
    "EfficientNetB7",
    "decode_predictions",
    "preprocess_input",
]

EfficientNetB0 = application("EfficientNetB0", 224, name="efficientnetb0")
EfficientNetB1 = application("EfficientNetB1", 240, name="efficientnetb1")
EfficientNetB2 = application("EfficientNetB2", 260, name="efficientnetb2")
EfficientNetB3 = application("EfficientNetB3", 300, name="efficientnetb3")
EfficientNetB4 = application("EfficientNetB4", 380, name="efficientnetb4")
EfficientNetB5 = application("EfficientNetB5", 456, name="efficientnetb5")
EfficientNetB6 = application("EfficientNetB6", 528, name="efficientnetb6")
EfficientNetB7 = application("EfficientNetB7", 600, name="efficientnetb7")
