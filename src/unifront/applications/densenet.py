"""DenseNet (Huang et al. 2016)."""

from unifront.applications._models import application
from unifront.applications._preprocessing import decode_predictions, preprocessing

__all__ = ["DenseNet121", "DenseNet169", "DenseNet201", "decode_predictions", "preprocess_input"]

DenseNet121 = application("DenseNet121", 224, name="densenet121")
DenseNet169 = application("DenseNet169", 224, name="densenet169")
DenseNet201 = application("DenseNet201", 224, name="densenet201")
preprocess_input = preprocessing("torch")
