"""Archives of all databases: written by `parley backup`, read by `parley restore`."""
