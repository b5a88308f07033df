"""Says what this machine has, and how long each stage of an inspection takes."""
