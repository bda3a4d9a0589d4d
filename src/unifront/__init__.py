"""unifront: write a model once; train and run it as PyTorch, TensorFlow or JAX, on the same weights."""

__version__ = "0.1.0"
