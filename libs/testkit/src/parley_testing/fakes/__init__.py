"""In-memory fakes of servers and clients."""
