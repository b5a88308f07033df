"""MAVIS aligns texts and features with negation, and refines regions."""
