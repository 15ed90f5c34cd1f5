"""Routes: they read the request, ask the service, and write the response."""
