"""The commands: parse options, call one function, turn errors into exit codes."""
