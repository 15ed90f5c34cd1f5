"""The delivery log: its routes, rules and rows."""
