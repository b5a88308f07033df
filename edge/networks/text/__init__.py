"""Defect types in words, and the text encoders that turn them into vectors."""
