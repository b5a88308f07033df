"""Goes from a trained run to a verified bundle, and from a bundle to engines."""
