"""Layers that prepare data before a model learns from it. One file per family."""
