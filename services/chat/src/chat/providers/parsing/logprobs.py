"""Log probabilities of tokens, as OpenAI's API has them. What is malformed is left out."""

import math
from typing import Any

import orjson

from chat.providers.parsing.text_sanitizing import storable

MAX_LOGPROBS_LENGTH = 4_194_304
"""Bytes of the log probabilities of one answer, as JSON. The tokens after it have none."""
MAX_TOP_LOGPROBS = 20
MAX_TOKEN_LENGTH = 256
"""Characters of a token, and entries of its ``bytes``. The longest tokens of known models have 128."""
LOWEST = -9999.0
"""What OpenAI returns for a token that cannot be sampled."""


class LogprobParser:
    """Collects the log probabilities of chunks until their text is an entry."""

    def __init__(self) -> None:
        self._tokens: list[bytes] = []
        self._room = MAX_LOGPROBS_LENGTH

    def add(self, given: Any) -> None:
        """Add ``logprobs`` of a choice, as far as there is room for them."""
        if not isinstance(given, dict):
            return
        for name in ("content", "refusal"):
            for one in _list(given.get(name)):
                if not self._room:
                    return
                token = _token(one, with_top=True)
                if token is not None:
                    self._add(orjson.dumps(token))

    def _add(self, token: bytes) -> None:
        if len(token) < self._room:
            self._tokens.append(token)
            self._room -= len(token) + 1
        else:
            self._room = 0

    def take(self) -> str:
        """Return what was added since the last call as a JSON array, empty for none."""
        if not self._tokens:
            return ""
        found = b"[%b]" % b",".join(self._tokens)
        self._tokens = []
        return found.decode()


def _token(given: Any, *, with_top: bool = False) -> dict[str, Any] | None:
    """Return a token with its log probability, None unless it has both."""
    if not isinstance(given, dict):
        return None
    token, logprob = given.get("token"), _logprob(given.get("logprob", ""))
    if not isinstance(token, str) or logprob is None:
        return None
    found: dict[str, Any] = {
        "token": storable(token[:MAX_TOKEN_LENGTH]),
        "logprob": logprob,
        "bytes": _bytes(given.get("bytes")),
    }
    if with_top:
        top = (_token(one) for one in _list(given.get("top_logprobs"))[:MAX_TOP_LOGPROBS])
        found["top_logprobs"] = [one for one in top if one is not None]
    return found


def _logprob(given: Any) -> float | None:
    if given is None:  # infinity and what is no number, which JSON does not have
        return LOWEST
    if isinstance(given, bool) or not isinstance(given, int | float):
        return None
    if isinstance(given, float) and math.isnan(given):
        return None
    return float(min(max(given, LOWEST), 0.0))  # compared before it is converted: an integer may be too large for that


def _bytes(given: Any) -> list[int] | None:
    if not isinstance(given, list) or len(given) > MAX_TOKEN_LENGTH:
        return None
    return given if all(one.__class__ is int and 0 <= one <= 255 for one in given) else None  # noqa: PLR2004 - a byte


def _list(given: Any) -> list[Any]:
    return given if isinstance(given, list) else []
