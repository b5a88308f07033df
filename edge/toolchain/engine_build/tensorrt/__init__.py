"""ONNX -> TensorRT engine on the device; needs neither torch nor, for a graph as it is, onnx."""
