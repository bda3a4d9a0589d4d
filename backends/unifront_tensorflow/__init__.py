"""TensorFlow as a backend of unifront: graphs become ``tf.function`` programs, models become `tf.Module`."""

import os
import sys

if "tensorflow" not in sys.modules:
    # No lines that only inform; warnings, such as that of a GPU that cannot be used, and errors are shown. Who has
    # set it keeps it. TensorFlow 2.21 prints some lines about oneDNN and CUDA before it heeds this at all.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "1")

from unifront_tensorflow.runtime import BACKEND

__all__ = ["BACKEND"]
