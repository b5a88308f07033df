"""A new threshold for a bundle, from good parts of the line that it inspects."""
