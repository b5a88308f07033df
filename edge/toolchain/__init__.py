"""From a trained run to a verified bundle: export, parity, thresholds, packing."""
