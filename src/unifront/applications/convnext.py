"""ConvNeXt (Liu et al. 2022)."""

from unifront.applications._models import STANDARD, application
from unifront.applications._preprocessing import decode_predictions
from unifront.applications._preprocessing import unchanged as preprocess_input

__all__ = [
    "ConvNeXtBase",
    "ConvNeXtLarge",
    "ConvNeXtSmall",
    "ConvNeXtTiny",
    "ConvNeXtXLarge",
    "decode_predictions",
    "preprocess_input",
]

_ARGUMENTS = STANDARD.replace("weights", "include_preprocessing weights")
ConvNeXtTiny = application("ConvNeXtTiny", 224, name="convnext_tiny", arguments=_ARGUMENTS)
ConvNeXtSmall = application("ConvNeXtSmall", 224, name="convnext_small", arguments=_ARGUMENTS)
ConvNeXtBase = application("ConvNeXtBase", 224, name="convnext_base", arguments=_ARGUMENTS)
ConvNeXtLarge = application("ConvNeXtLarge", 224, name="convnext_large", arguments=_ARGUMENTS)
ConvNeXtXLarge = application("ConvNeXtXLarge", 224, name="convnext_xlarge", arguments=_ARGUMENTS)
