"""Packs a trained run into a verified bundle."""
