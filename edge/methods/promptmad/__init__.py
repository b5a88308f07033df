"""PromptMAD reconstructs a product from one good picture and words, and refines a mask."""
