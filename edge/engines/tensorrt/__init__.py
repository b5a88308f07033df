"""Runs compiled graphs with TensorRT and TensorRT for RTX."""
