"""Training: one loop, and the losses, metrics, optimizers and callbacks it takes."""

from unifront.train import callbacks, losses, metrics, optimizers, schedules
from unifront.train.evaluating import evaluate
from unifront.train.loop import configure, fit
from unifront.train.predicting import predict

__all__ = [
    "callbacks",
    "configure",
    "evaluate",
    "fit",
    "losses",
    "metrics",
    "optimizers",
    "predict",
    "schedules",
]
