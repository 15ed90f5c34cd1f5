"""The chat service: durable, resumable LLM turns."""

VERSION = "0.1.0"
