"""The raw archive on disk: its layout, the record of a frame, and how long frames stay."""
