"""Tables and lines for the terminal, made from what the queries return."""
