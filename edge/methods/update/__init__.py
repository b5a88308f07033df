"""Updates of a finished run by what people said of its verdicts."""
