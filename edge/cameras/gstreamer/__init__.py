"""Cameras through GStreamer: pipelines of the station file, CSI cameras, decoding in hardware."""
