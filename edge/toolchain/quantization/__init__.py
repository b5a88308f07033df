"""Rewrites FP32 graphs as FP16 or INT8 graphs; the graph alone sets the precision."""
