"""OpenAI's Responses API format."""
