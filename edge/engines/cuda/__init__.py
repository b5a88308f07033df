"""CUDA memory, streams and graphs, by one of two Python bindings."""
