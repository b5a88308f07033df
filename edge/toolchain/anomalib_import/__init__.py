"""Bundles from models that anomalib exported."""
