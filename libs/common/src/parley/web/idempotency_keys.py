"""The header ``Idempotency-Key``."""

import re

from parley.errors import InvalidRequest, ParleyError

_KEY = re.compile(r"[\x21-\x7e]{1,255}\Z")


class IdempotencyKeyReused(ParleyError):
    """The Idempotency-Key was already used with a different request body."""

    status, code, title = 422, "idempotency_key_reused", "Idempotency key reused"
    remedy = "Use a new key for each new request."


def check_idempotency_key(key: str | None) -> None:
    """Raise InvalidRequest for a malformed key; None is no key."""
    if key is not None and not _KEY.match(key):
        raise InvalidRequest("Idempotency-Key must have 1 to 255 visible ASCII characters.")
