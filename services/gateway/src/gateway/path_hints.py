"""Why a path is not found, and what to use."""

from gateway.openai_endpoints import openai_hint

EMPTY_SEGMENT = "No path has an empty segment (`//`). Does the base URL of your client end with a slash?"
TRAILING_SLASH = "No path ends with a slash. Send it without."
ENCODED = "No path but the ID of a model has percent-encoded characters. Send letters, digits and `-` as they are."


def path_hint(path: str) -> str | None:
    """Return a hint for a path that does not exist; None if there is nothing to say."""
    if "//" in path:
        return EMPTY_SEGMENT
    if path.endswith("/") and path != "/":
        return TRAILING_SLASH
    return ENCODED if "%" in path else openai_hint(path)
