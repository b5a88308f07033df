"""The line loop: capture, hand-over, inspection, orderly stop."""
