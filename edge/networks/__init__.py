"""Networks and layers that several methods share, text encoders among them (torch)."""
