"""The methods behind one protocol, their registry and the record of a run (torch)."""
