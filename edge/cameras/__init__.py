"""Image sources, chosen by address."""
