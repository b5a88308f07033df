"""CUDA memory, streams and graphs, through one of two Python bindings."""
