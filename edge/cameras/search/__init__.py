"""Which cameras are there: one file per driver, each with a function `search`."""
