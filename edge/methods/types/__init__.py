"""Names defect types in an INP-Former run: labelled regions, aligned with text."""
