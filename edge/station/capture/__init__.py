"""Brings frames from the camera to the inspection loop."""
