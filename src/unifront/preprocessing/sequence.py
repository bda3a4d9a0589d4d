"""`keras.preprocessing.sequence`."""

from unifront.utils.arrays import pad_sequences

__all__ = ["pad_sequences"]
