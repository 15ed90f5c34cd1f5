"""UI messages of the AI SDK (`useChat`): request schemas and the UI message stream."""
