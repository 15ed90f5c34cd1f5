"""Event feed: a resumable stream of a user's conversation events."""
