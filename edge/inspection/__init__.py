"""Goes from a frame to a verdict, without threads and without I/O."""
