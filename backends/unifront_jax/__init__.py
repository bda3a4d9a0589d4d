"""The JAX backend: graphs as pure functions under ``jax.jit``."""

import os

# Frameworks share a GPU; JAX would otherwise take most of its memory at its first use. Import is not use.
os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")

from unifront_jax.runtime import BACKEND

__all__ = ["BACKEND"]
