"""Conversation history: stored from the events of turns, and served through the API."""
