"""Callbacks: what happens at the ends of epochs and batches. Names as in Keras."""

from unifront.train.callbacks.base import Callback, CallbackList, History, LambdaCallback
from unifront.train.callbacks.monitors import EarlyStopping, LearningRateScheduler, Monitor, ReduceLROnPlateau
from unifront.train.callbacks.progress import ProgbarLogger

__all__ = [
    "Callback",
    "CallbackList",
    "EarlyStopping",
    "History",
    "LambdaCallback",
    "LearningRateScheduler",
    "Monitor",
    "ProgbarLogger",
    "ReduceLROnPlateau",
]
