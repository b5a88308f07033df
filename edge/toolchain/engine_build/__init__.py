"""Builds engines of a bundle on this device and verifies them by the parity check."""
