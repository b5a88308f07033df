"""Defect types of an INP-Former run: labelled regions aligned with text."""
