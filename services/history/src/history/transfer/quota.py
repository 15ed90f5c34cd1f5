"""Quota of imports: what a conversation counts of ``import_bytes`` of its owner's plan."""

CONVERSATION_BYTES = 4096
"""Bytes that a conversation counts for its rows and events, besides its JSON in the file."""
USED_UP = "Your imported conversations have reached the limit of your plan. Deleted ones count until they are purged."
