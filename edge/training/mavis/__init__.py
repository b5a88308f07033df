"""Training of MAVIS: texts and features aligned with negation in mind, then the region stage."""
