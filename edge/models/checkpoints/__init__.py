"""Models trained elsewhere: their names and shapes, translated to ours."""
