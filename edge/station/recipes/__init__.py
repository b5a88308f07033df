"""The recipes of a station, and the change from one to another."""
