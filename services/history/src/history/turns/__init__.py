"""Internal lookups of turns: which ones are stored, and with which content."""
