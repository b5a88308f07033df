"""What the training of any method shares: run folder, checkpoints, features, optimizer (torch)."""
