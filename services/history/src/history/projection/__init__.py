"""Projection of turn events into conversations, messages and turns."""
