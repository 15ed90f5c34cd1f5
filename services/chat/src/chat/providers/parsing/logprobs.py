"""Log probabilities of tokens, as OpenAI's API has them. What is malformed is left out."""

from typing import Any

import orjson

from chat.providers.parsing.text_sanitizing import storable

MAX_LOGPROBS_LENGTH = 4_194_304
"""Characters of the log probabilities of one answer, as JSON. The tokens after it have none."""
MAX_TOP_LOGPROBS = 20
MAX_TOKEN_LENGTH = 1000
LOWEST = -9999.0
"""What OpenAI returns for a token that cannot be sampled."""


class LogprobParser:
    """Collects the log probabilities of chunks until their text is an entry."""

    def __init__(self) -> None:
        self._tokens: list[dict[str, Any]] = []
        self._room = MAX_LOGPROBS_LENGTH

    def add(self, given: Any) -> None:
        """Add ``logprobs`` of a choice."""
        if isinstance(given, dict):
            found = (_token(one, with_top=True) for name in ("content", "refusal") for one in _list(given.get(name)))
            self._tokens += [one for one in found if one is not None]

    def take(self) -> str:
        """Return what was added since the last call as a JSON array, empty for none."""
        if not self._tokens or not self._room:
            self._tokens = []
            return ""
        text = orjson.dumps(self._tokens).decode()
        self._tokens = []
        self._room = self._room - len(text) if len(text) <= self._room else 0
        return text if self._room else ""


def _token(given: Any, *, with_top: bool = False) -> dict[str, Any] | None:
    """Return a token with its log probability, None unless it has both."""
    if not isinstance(given, dict):
        return None
    token, logprob = given.get("token"), given.get("logprob", "")
    if logprob is None:  # infinity, which JSON does not have
        logprob = LOWEST
    if not isinstance(token, str) or isinstance(logprob, bool) or not isinstance(logprob, int | float):
        return None
    found: dict[str, Any] = {
        "token": storable(token[:MAX_TOKEN_LENGTH]),
        "logprob": min(max(float(logprob), LOWEST), 0.0),
        "bytes": _bytes(given.get("bytes")),
    }
    if with_top:
        top = (_token(one) for one in _list(given.get("top_logprobs"))[:MAX_TOP_LOGPROBS])
        found["top_logprobs"] = [one for one in top if one is not None]
    return found


def _bytes(given: Any) -> list[int] | None:
    if not isinstance(given, list) or len(given) > MAX_TOKEN_LENGTH:
        return None
    return given if all(one.__class__ is int and 0 <= one <= 255 for one in given) else None  # noqa: PLR2004 - a byte


def _list(given: Any) -> list[Any]:
    return given if isinstance(given, list) else []
