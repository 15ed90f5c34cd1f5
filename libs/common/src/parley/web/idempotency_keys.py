"""The header ``Idempotency-Key``."""

import re

from parley.errors import InvalidRequest

_KEY = re.compile(r"[\x21-\x7e]{1,255}\Z")


def check_idempotency_key(key: str | None) -> None:
    """Raise InvalidRequest for a malformed key; None is no key."""
    if key is not None and not _KEY.match(key):
        raise InvalidRequest("Idempotency-Key must have 1 to 255 visible ASCII characters.")
