"""Reading what a command shows: pure functions of a connection, one subject per file."""
