"""Writes an evaluation as one HTML file for people."""
