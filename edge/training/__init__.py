"""What training of any method shares: run folder, progress, feature cache, optimiser."""
