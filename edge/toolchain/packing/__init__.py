"""From a trained run to a verified bundle."""
