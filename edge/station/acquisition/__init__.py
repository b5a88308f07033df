"""Pairs triggers with frames, so that each trigger gets one result."""
