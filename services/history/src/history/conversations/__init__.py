"""Conversations: list, read, rename, archive and delete."""
