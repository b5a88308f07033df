"""Commands from outside: checked, carried out, answered, written to the audit log."""
