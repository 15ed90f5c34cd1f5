"""The chat service: durable, resumable LLM turns."""
