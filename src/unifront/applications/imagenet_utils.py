"""What all these models share: what images become before them, and what their outputs mean."""

from unifront.applications._preprocessing import decode_predictions, preprocess_input

__all__ = ["decode_predictions", "preprocess_input"]
