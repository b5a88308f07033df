"""PromptMAD: reconstruction prompted by one good picture and words, and a refined mask."""
