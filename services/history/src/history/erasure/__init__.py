"""Erasure of everything that history stores about a user."""
