"""Frames of the WebSocket protocol."""
