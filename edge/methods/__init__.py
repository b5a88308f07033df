"""The methods: INP-Former, MultiADS, DAPO, MAVIS, PromptMAD, and types by regions."""
