"""Measures a bundle on labelled pictures and writes the report (no torch)."""
