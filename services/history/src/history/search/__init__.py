"""Full-text search in a user's messages."""
