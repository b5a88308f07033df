"""Payloads, commands and states, independent of how they travel."""
