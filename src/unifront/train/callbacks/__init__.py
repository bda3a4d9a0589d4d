"""Callbacks: what happens at the ends of epochs and batches. Names as in Keras."""

from unifront.train.callbacks.base import Callback, CallbackList, History, LambdaCallback
from unifront.train.callbacks.checkpoints import BackupAndRestore, ModelCheckpoint, SwapEMAWeights
from unifront.train.callbacks.loggers import CSVLogger, RemoteMonitor, TerminateOnNaN, Throughput
from unifront.train.callbacks.monitors import EarlyStopping, LearningRateScheduler, Monitor, ReduceLROnPlateau
from unifront.train.callbacks.orbax import OrbaxCheckpoint
from unifront.train.callbacks.progress import ProgbarLogger
from unifront.train.callbacks.tensorboard import TensorBoard
from unifront.train.callbacks.trackers import MLflowLogger, WandbLogger

__all__ = [
    "BackupAndRestore",
    "CSVLogger",
    "Callback",
    "CallbackList",
    "EarlyStopping",
    "History",
    "LambdaCallback",
    "LearningRateScheduler",
    "MLflowLogger",
    "ModelCheckpoint",
    "Monitor",
    "OrbaxCheckpoint",
    "ProgbarLogger",
    "ReduceLROnPlateau",
    "RemoteMonitor",
    "SwapEMAWeights",
    "TensorBoard",
    "TerminateOnNaN",
    "Throughput",
    "WandbLogger",
]


def __dir__() -> list[str]:
    return __all__
