"""Training of PromptMAD, and of its mask refiner behind INP-Former: synthetic defects alone."""
