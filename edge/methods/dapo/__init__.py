"""DAPO: prompts and tokens learned inside a frozen text encoder."""
