"""MultiADS compares patch tokens with text vectors of defect types."""
