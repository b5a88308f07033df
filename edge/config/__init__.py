"""Reads the station file strictly, and holds the table of commands."""
