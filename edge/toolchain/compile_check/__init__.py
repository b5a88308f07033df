"""Checks without a GPU whether a graph compiles for one, with TensorRT for RTX."""
