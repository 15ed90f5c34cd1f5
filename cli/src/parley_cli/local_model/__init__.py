"""Local model: SmolLM2 in a child process with an OpenAI-compatible API."""
