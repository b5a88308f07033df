"""Opens frame sources by their address."""
