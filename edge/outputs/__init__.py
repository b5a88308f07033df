"""Brings results to where they go: outbox, picture archive, statistics and other sinks."""
