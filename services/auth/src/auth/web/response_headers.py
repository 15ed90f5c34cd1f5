"""Response headers that several routes share."""

NO_STORE = {"Cache-Control": "no-store", "Pragma": "no-cache"}
"""For responses that contain a secret."""
