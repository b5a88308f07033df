"""DAPO learns prompts and tokens inside a frozen text encoder."""
