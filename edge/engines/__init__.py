"""Runs graphs: named arrays in, named arrays out, on one of several runtimes."""
