"""Pure functions on pixels and maps."""
