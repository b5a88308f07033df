"""Metrics and reports of a bundle on labelled pictures (no torch)."""
