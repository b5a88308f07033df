"""Inference engines: each takes named arrays and returns named arrays."""
