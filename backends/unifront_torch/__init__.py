"""PyTorch as a backend of unifront."""

from unifront_torch.runtime import TorchBackend

BACKEND = TorchBackend()

__all__ = ["BACKEND"]
