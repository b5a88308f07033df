"""Checks commands, carries them out, answers them and records them in the audit log."""
