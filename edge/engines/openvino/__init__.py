"""Runs graphs with OpenVINO on the CPU."""
