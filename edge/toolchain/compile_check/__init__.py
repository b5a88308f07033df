"""Does a graph compile for a GPU? Answered without one, by TensorRT for RTX on the CPU."""
