"""Frozen feature extractors behind one interface."""
