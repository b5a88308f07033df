"""Simulates a camera over a conveyor belt, with known defects and camera failures."""
