"""What chat needs from the world. Adapters implement these; tests pass their own."""
