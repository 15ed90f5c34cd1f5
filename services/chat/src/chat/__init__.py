"""Chat: runs LLM turns; the row of a turn decides, its log shows, readers are cursors."""

VERSION = "0.1.0"
