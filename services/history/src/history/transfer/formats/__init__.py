"""The files that can be imported: each becomes drafts, and notes of what cannot be imported."""
