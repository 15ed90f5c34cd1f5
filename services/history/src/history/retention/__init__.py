"""Retention: how long deleted conversations are kept, and the purge that ends it."""
