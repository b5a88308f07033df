"""Data sets, synthetic defects, losses, loops and metrics."""
