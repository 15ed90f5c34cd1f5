"""Exact forms of query parameters.

Pydantic reads texts generously: ``1_0`` and ``+10`` as 10, ``yes`` as true, ``-0`` as the first of January 1970. Each
type has one form here, so that a value with a typing error is refused and not replaced by another value.
"""

import re
from datetime import date, datetime
from typing import Any, NamedTuple, get_args
from urllib.parse import unquote_to_bytes
from uuid import UUID


class _Form(NamedTuple):
    """The form of a type, and the code and detail of the error for any other text."""

    pattern: re.Pattern[str]
    code: str
    detail: str


_TIME = "Must be a time with a time zone, for example 2026-11-22T10:00:00Z."
_FORMS: dict[Any, _Form] = {
    bool: _Form(re.compile(r"(?:true|false)\Z"), "bool_parsing", "Must be true or false."),
    int: _Form(re.compile(r"-?(?:0|[1-9][0-9]{0,17})\Z"), "int_parsing", "Must be an integer."),
    date: _Form(re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}\Z"), "date_parsing", "Must be a date, for example 2026-11-22."),
    datetime: _Form(re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}(?:[Tt ].+)?\Z"), "datetime_parsing", _TIME),
    UUID: _Form(
        re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}\Z"), "uuid_parsing", "Must be a UUID in lower case."
    ),
}


def form_error(annotation: Any, text: str) -> tuple[str, str] | None:
    """Return code and detail of the error of a text that does not have the form of its type, or None."""
    forms = [_FORMS[kind] for kind in _types(annotation) if kind in _FORMS]
    if not forms or any(form.pattern.match(text) for form in forms):
        return None
    return forms[0].code, forms[0].detail


def is_utf8(query: bytes) -> bool:
    """Return whether a query string is UTF-8. Otherwise, parsers replace what they cannot read."""
    if b"%" not in query:
        return query.isascii()
    try:
        unquote_to_bytes(query).decode()
    except UnicodeDecodeError:
        return False
    return True


def _types(annotation: Any) -> set[Any]:
    inner = get_args(annotation)
    return {annotation}.union(*map(_types, inner)) if inner else {annotation}
