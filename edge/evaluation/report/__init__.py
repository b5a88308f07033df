"""The evaluation as one HTML file for people."""
