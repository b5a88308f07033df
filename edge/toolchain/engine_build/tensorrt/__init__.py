"""Compiles ONNX graphs with TensorRT on the device; needs no torch."""
