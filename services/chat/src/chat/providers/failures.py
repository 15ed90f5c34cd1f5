"""Mapping of provider errors to Parley's. Their messages are dropped: they may contain keys, prompts or addresses."""

import email.utils
import time
from collections.abc import Mapping
from typing import Any

from chat.errors import (
    ProviderContextExceeded,
    ProviderFailure,
    ProviderRateLimited,
    ProviderTimeout,
    ProviderUnavailable,
)

MAX_RETRY_AFTER = 3600
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
_QUOTA_CODES = frozenset({"insufficient_quota", "billing_hard_limit_reached"})


class AttemptFailed(Exception):
    """A call failed before its first token; says why, and whether a retry may succeed."""

    def __init__(self, failure: ProviderFailure, *, retryable: bool) -> None:
        super().__init__(failure.code)
        self.failure, self.retryable = failure, retryable


def from_status(status: int, headers: Mapping[str, str], body: Any) -> AttemptFailed:
    """Return the failure of a response whose status is not 200."""
    codes = _codes(body)
    if codes & _CONTEXT_CODES:
        return AttemptFailed(ProviderContextExceeded(), retryable=False)
    kind, retryable = _BY_STATUS.get(status, (ProviderFailure, False))
    if kind is ProviderRateLimited and codes & _QUOTA_CODES:
        return AttemptFailed(ProviderUnavailable(), retryable=False)
    return AttemptFailed(kind(retry_after=retry_after(headers)), retryable=retryable)


def retry_after(headers: Mapping[str, str]) -> int | None:
    """Return the seconds of a ``Retry-After`` header, which is a number or a date."""
    value = headers.get("Retry-After", "").strip()
    if value.isdigit():
        return min(int(value), MAX_RETRY_AFTER)
    try:
        moment = email.utils.parsedate_to_datetime(value).timestamp()
    except (ValueError, TypeError):
        return None
    return max(0, min(round(moment - time.time()), MAX_RETRY_AFTER))


def _codes(body: Any) -> set[str]:
    error = body.get("error") if isinstance(body, dict) else None
    return {str(error.get(name)) for name in ("code", "type")} if isinstance(error, dict) else set()
