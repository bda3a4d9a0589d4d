"""What all tests share."""

import os

# Keras is bound to one framework in a process. Here it judges training, in all of float64 on PyTorch only; the judge of
# layers, which is in all of float64 on TensorFlow only, has a process of its own.
os.environ.setdefault("KERAS_BACKEND", "torch")
