"""INP-Former and the branches of its anomaly map."""
