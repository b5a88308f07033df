"""Composes and runs one station, and stops it in order."""
