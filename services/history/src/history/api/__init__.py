"""The routes of history."""
