"""Wire formats: request schemas, and the projection of a turn onto each format."""
