"""Endpoints of OpenAI's API that Parley does not offer, and what to use instead."""

from parley.web.problems import speaks_openai

COMPLETIONS, RESPONSES = "`POST /v1/chat/completions`", "`POST /v1/responses`"
OFFERED = "`chat/completions`, `responses`, `conversations`, `files`, `embeddings`, `models` and `messages`"
_ALTERNATIVES = {
    "completions": COMPLETIONS,
    "engines": COMPLETIONS,
    "assistants": RESPONSES,
    "realtime": "the WebSocket `/api/v1/chat/ws`",
    "threads": "`/api/v1/conversations`",
    "organization": "`GET /api/v1/usage`",
}
_NOT_OFFERED = {"audio", "batches", "evals", "fine_tuning", "images", "moderations", "uploads"}
_NOT_OFFERED |= {"vector_stores", "videos"}
NOT_OFFERED_PATHS = frozenset({"/v1/responses/input_tokens"})
"""Paths of routes that are not offered, which look like the ID of a response."""
_PARTLY_OFFERED = {
    "/v1/chat/completions/": "Stored completions are not offered here; use `GET /api/v1/chat/turns/{id}` with the "
    "`X-Turn-Id`.",
    "/v1/conversations": "This route of the Conversations API is not offered; see `/api/v1/conversations`.",
    "/v1/messages/": "This route of Anthropic's API is not offered; use `POST /v1/messages`.",
    "/v1/responses/": f"This route of the Responses API is not offered; use {RESPONSES}.",
}
"""Routes below the ones that are offered."""
_ELSEWHERE = (
    (
        ("/v1/messages", "/v1/messages/count_tokens"),
        "Anthropic's API is at `/v1/messages`: the base URL of your client is this server's address alone.",
    ),
    (
        ("/chat/completions", "/models", "/completions", "/responses"),
        "OpenAI's API is below `/v1`: set the base URL of your client to this server's address and `/v1`.",
    ),
)
"""Ends of paths of a client whose base URL is wrong, and what is right."""


def openai_hint(path: str) -> str | None:
    """Return why a path of OpenAI's API is not found, and what to use; None for any other path."""
    if not speaks_openai(path) or path.startswith("/v1/v1/"):
        return next((hint for roots, hint in _ELSEWHERE if path.endswith(roots)), None)
    name = path.split("/")[2] if path.count("/") > 1 else ""
    for root, hint in _PARTLY_OFFERED.items():
        if path.startswith(root):
            return hint
    if name in _NOT_OFFERED:
        return f"`/v1/{name}` is not offered; use another server for it. Parley offers {COMPLETIONS}."
    if name in _ALTERNATIVES:
        return f"`/v1/{name}` is not offered; use {_ALTERNATIVES[name]}."
    return f"This path is not offered. Below `/v1` are {OFFERED}."
