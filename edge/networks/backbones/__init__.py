"""Frozen feature extractors, all with one interface (torch)."""
