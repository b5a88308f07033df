"""Training of DAPO: prompts and tokens inside a frozen CLIP, from labelled defects."""
