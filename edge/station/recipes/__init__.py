"""Loads the recipes of a station, and changes from one to another."""
