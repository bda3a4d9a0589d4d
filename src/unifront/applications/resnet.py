"""ResNet (He et al. 2015)."""

from unifront.applications._models import application
from unifront.applications._preprocessing import decode_predictions, preprocessing

__all__ = ["ResNet50", "ResNet101", "ResNet152", "decode_predictions", "preprocess_input"]

ResNet50 = application("ResNet50", 224, name="resnet50")
ResNet101 = application("ResNet101", 224, name="resnet101")
ResNet152 = application("ResNet152", 224, name="resnet152")
preprocess_input = preprocessing("caffe")
