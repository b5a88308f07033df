"""The pages of the dashboard over HTTP."""
