"""Mapping of provider errors to Parley's. Their messages are dropped: they may contain keys, prompts or addresses."""

import email.utils
import math
import re
import time
from collections.abc import Mapping
from typing import Any

import orjson

from chat.errors import (
    REFUSED,
    ProviderContentFiltered,
    ProviderContextExceeded,
    ProviderFailure,
    ProviderRateLimited,
    ProviderTimeout,
    ProviderUnavailable,
)

MAX_RETRY_AFTER = 3600
MAX_MESSAGE_LENGTH = 1000
FIRST_ERROR_STATUS, FIRST_SERVER_ERROR, LAST_ERROR_STATUS = 400, 500, 599
_BY_STATUS: dict[int, tuple[type[ProviderFailure], bool]] = {
    408: (ProviderTimeout, True),
    409: (ProviderFailure, True),
    429: (ProviderRateLimited, True),
    500: (ProviderFailure, True),
    502: (ProviderUnavailable, True),
    503: (ProviderUnavailable, True),
    504: (ProviderTimeout, True),
    529: (ProviderUnavailable, True),
}
_CONTEXT_CODES = frozenset({"context_length_exceeded", "string_above_max_length", "exceed_context_size_error"})
_FILTER_CODES = frozenset(
    {
        "content_filter",
        "content_policy_violation",
        "ResponsibleAIPolicyViolation",
        "invalid_prompt",
        "data_inspection_failed",
    }
)
"""Codes of Azure, OpenAI and DashScope for a prompt that their content policy forbids."""
BAD_REQUEST = frozenset({400, 413, 422})
_CONTEXT_MESSAGE = re.compile(
    r"context.{0,20}(length|window|size|limit)|(prompt|input) is too long|too many tokens|maximum prompt length"
    r"|token count.{0,30}exceeds|inputs` (tokens|must have less than)|range of input length|model token limit"
    r"|reduce the length of the (messages|prompt|input)",
    re.IGNORECASE,
)
"""What servers say that have no code for a prompt that is too long."""
_QUOTA_CODES = frozenset({"insufficient_quota", "billing_hard_limit_reached", "billing_error"})
_STATUS_BY_NAME = (
    ("quota", 429),
    ("billing", 429),
    ("rate_limit", 429),
    ("ratelimit", 429),
    ("too_many_requests", 429),
    ("resource_exhausted", 429),
    ("throttl", 429),
    ("overloaded", 503),
    ("unavailable", 503),
    ("timeout", 504),
    ("timed_out", 504),
    ("deadline", 504),
    ("authentication", 401),
    ("permission", 403),
    ("not_found", 404),
    ("invalid", 400),
    ("bad_request", 400),
    ("badrequest", 400),
)
"""Statuses by a part of an error's ``code`` or ``type``, in lower case with underscores."""
UNKNOWN_ERROR_STATUS = 500


class AttemptFailed(Exception):
    """A call failed before its first token; says why, and whether a retry may succeed."""

    def __init__(self, failure: ProviderFailure, *, retryable: bool, server_failed: bool | None = None) -> None:
        """``server_failed``: False if the server works and refused the call, None if the call does not tell.

        After each retryable failure it is True.
        """
        super().__init__(failure.code)
        self.failure, self.retryable = failure, retryable
        self.server_failed = True if retryable else server_failed


def error_of(body: bytes) -> Any:
    """Return the JSON of an error's body, None if it is none. Gemini's API sends it as the element of an array."""
    try:
        found = orjson.loads(body)
    except orjson.JSONDecodeError:
        return None
    return found[0] if isinstance(found, list) and found else found


def from_status(status: int, headers: Mapping[str, str], body: Any) -> AttemptFailed:
    """Return the failure of a response whose status is not 200."""
    codes = _codes(body)
    if codes & _CONTEXT_CODES or (status in BAD_REQUEST and _CONTEXT_MESSAGE.search(_message(body))):
        return AttemptFailed(ProviderContextExceeded(), retryable=False, server_failed=False)
    if codes & _FILTER_CODES:
        return AttemptFailed(ProviderContentFiltered(), retryable=False, server_failed=False)
    kind, retryable = _BY_STATUS.get(status, (ProviderFailure, status >= FIRST_SERVER_ERROR))
    if kind is ProviderRateLimited and codes & _QUOTA_CODES:
        return AttemptFailed(ProviderUnavailable(), retryable=False, server_failed=False)
    detail = None if retryable else REFUSED
    return AttemptFailed(kind(detail, retry_after=retry_after(headers)), retryable=retryable, server_failed=False)


def reported_failure(document: Mapping[str, Any], *, named: bool) -> AttemptFailed | None:
    """Return the failure that an event or a body of status 200 reports, None if it reports none.

    ``named`` tells that it is an error even without an ``error`` member.
    """
    error = document.get("error")
    named = named or document.get("object") == "error" or document.get("type") == "error"
    if not error and not named:
        return None
    if not isinstance(error, dict):
        error = {"code": error} if error else document
    return from_status(_status(error) or _status(document) or _status_by_name(error), {}, {"error": error})


def retry_after(headers: Mapping[str, str]) -> int | None:
    """Return the seconds of a ``Retry-After`` header, which is a number or a date."""
    value = headers.get("Retry-After", "").strip()
    try:
        seconds = float(value)
    except ValueError:
        seconds = _seconds_until(value)
    if not math.isfinite(seconds) or value.startswith("-"):
        return None
    return max(0, min(math.ceil(seconds), MAX_RETRY_AFTER))


def _seconds_until(date: str) -> float:
    try:
        return round(email.utils.parsedate_to_datetime(date).timestamp() - time.time())
    except (ValueError, TypeError, OverflowError):
        return math.nan


def _codes(body: Any) -> set[str]:
    error = body.get("error") if isinstance(body, dict) else None
    return {str(error.get(name)) for name in ("code", "type")} if isinstance(error, dict) else set()


def _message(body: Any) -> str:
    error = body.get("error", body) if isinstance(body, dict) else None
    found = error.get("message") if isinstance(error, dict) else error
    return found[:MAX_MESSAGE_LENGTH] if isinstance(found, str) else ""


def _status(error: Mapping[str, Any]) -> int | None:
    for name in ("status", "status_code", "http_code", "code"):
        value = error.get(name)
        if isinstance(value, str) and len(value) == len("429") and value.isascii() and value.isdigit():
            value = int(value)
        if isinstance(value, int) and FIRST_ERROR_STATUS <= value <= LAST_ERROR_STATUS:
            return value
    return None


def _status_by_name(error: Mapping[str, Any]) -> int:
    names = " ".join(str(error.get(name) or "")[:100] for name in ("code", "type", "status"))
    words = names.lower().replace(" ", "_").replace("-", "_")
    return next((status for part, status in _STATUS_BY_NAME if part in words), UNKNOWN_ERROR_STATUS)
