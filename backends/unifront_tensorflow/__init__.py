"""TensorFlow as a backend of unifront: graphs become ``tf.function`` programs, models become `tf.Module`."""

import os
import sys

if "tensorflow" not in sys.modules:
    # Without this, TensorFlow prints a page about oneDNN and missing GPUs. Who has set it keeps it.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

from unifront_tensorflow.runtime import BACKEND

__all__ = ["BACKEND"]
