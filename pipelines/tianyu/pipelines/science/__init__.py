"""Pure functions on arrays: no database, no broker, no files."""
