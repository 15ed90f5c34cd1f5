"""OpenAI's chat completions format."""
