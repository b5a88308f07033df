"""Configuration files: YAML in, frozen and checked values out."""
