"""One station: the composition root, the inspection loop and its orderly stop."""
