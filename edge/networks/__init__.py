"""Layers, backbones and text encoders that several methods share (torch)."""
