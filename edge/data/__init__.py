"""Reads image sets and labelled pictures, and makes synthetic defects (no torch)."""
