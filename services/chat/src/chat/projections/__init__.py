"""A turn log on each wire format: Parley SSE, OpenAI, WebSocket."""
