"""Wire formats: request schemas, and the conversion of a turn into each format."""
