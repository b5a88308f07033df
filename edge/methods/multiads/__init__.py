"""MultiADS: patch tokens against text vectors of defect types."""
