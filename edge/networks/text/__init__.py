"""Turns the names and descriptions of defect types into vectors (torch)."""
