"""MAVIS: texts and features aligned with negation, and the region stage."""
