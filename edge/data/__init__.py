"""Image sets, labelled pictures and synthetic defects (no torch)."""
