"""Inline inspection on the edge: frames in, verdicts over MQTT out."""

__version__ = "0.1.0"
