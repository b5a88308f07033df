"""Build engines of a bundle and check their parity on this device."""
