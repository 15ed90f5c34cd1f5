"""Errors of obstore as errors of Parley. Their texts, which can contain what a store has sent, go nowhere."""

import contextlib
import re
from collections.abc import Iterator
from typing import Literal

import structlog

from chat.file_errors import FilesUnavailable

log = structlog.get_logger()

Reason = Literal["bucket_not_found", "access_refused", "unavailable"]

_NO_BUCKET = re.compile(r"NoSuchBucket|ContainerNotFound|specified (?:bucket|container) does not exist", re.IGNORECASE)
_STATUS = re.compile(r"status code: (\d{3})")
_REFUSED = frozenset({401, 403})
_FIRST_SERVER_ERROR = 500
_NO_CREDENTIALS = re.compile(r"credential|token request|private key", re.IGNORECASE)
"""What obstore says when it cannot sign a request: before the store itself is asked."""
DETAILS: dict[Reason, str] = {
    "bucket_not_found": "the bucket does not exist",
    "access_refused": "the credentials are refused, or there are none",
    "unavailable": "the store does not answer, or answers with errors",
}


class StoreFailed(FilesUnavailable):
    """A call of the store failed. Clients see what FilesUnavailable says; ``reason`` is for the operator."""

    def __init__(self, reason: Reason) -> None:
        super().__init__(FilesUnavailable.__doc__)
        self.reason, self.status_detail = reason, DETAILS[reason]


@contextlib.contextmanager
def translated(operation: str, *, object_exists: bool = False) -> Iterator[None]:
    """Raise StoreFailed for errors of the store, and log why; FileNotFoundError for an object that does not exist.

    ``object_exists``: an object is made, so whatever is not found is the bucket.
    """
    from obstore.exceptions import BaseError

    try:
        yield
    except FileNotFoundError as error:
        if not object_exists and _NO_BUCKET.search(str(error)) is None:
            raise FileNotFoundError from None
        raise _failed("bucket_not_found", operation) from None
    except (BaseError, OSError) as error:
        raise _failed(_reason(str(error)), operation) from None


def _reason(text: str) -> Reason:
    if _NO_BUCKET.search(text):
        return "bucket_not_found"
    found = _STATUS.search(text)
    status = int(found.group(1)) if found else None
    if status in _REFUSED:
        return "access_refused"
    is_of_client = status is None or status < _FIRST_SERVER_ERROR
    return "access_refused" if is_of_client and _NO_CREDENTIALS.search(text) else "unavailable"


def _failed(reason: Reason, operation: str) -> StoreFailed:
    log.warning("file_store_failed", reason=reason, operation=operation)
    return StoreFailed(reason)
