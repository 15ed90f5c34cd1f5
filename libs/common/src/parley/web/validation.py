"""Field errors of a request, from pydantic's error list: real members only, one error for each, plain sentences."""

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from parley import errors
from parley.errors import ParleyError
from parley.field_errors import FieldError, json_pointer

MAX_ERRORS = 100
"""Maximum number of field errors in a response; further ones are left out."""
_LOCATIONS = frozenset({"query", "path", "header", "cookie"})
_UNKNOWN = object()
_TYPE_ENDINGS = ("_type", "_parsing")
_TYPE_CODES = frozenset({"int_from_float", "none_required", "literal_error", "enum"})
"""Codes, beside those with ``_TYPE_ENDINGS``, of a value that another branch of a union may take."""

_CODES = {
    "missing": "required",
    "extra_forbidden": "unknown_member",
    "string_too_long": "too_long",
    "string_too_short": "too_short",
    "too_long": "too_long",
    "too_short": "too_short",
    "string_unicode": "invalid_text",
    "string_pattern_mismatch": "invalid_format",
}
_DETAILS = {
    "missing": "This field is required.",
    "extra_forbidden": "This field is not supported.",
    "string_too_long": "At most {max_length} {unit}.",
    "string_too_short": "At least {min_length} {unit}.",
    "too_long": "At most {max_length} {unit}.",
    "too_short": "At least {min_length} {unit}.",
    "string_type": "Must be a string.",
    "string_unicode": "Must be valid Unicode text.",
    "int_type": "Must be an integer.",
    "int_parsing": "Must be an integer.",
    "int_parsing_size": "Must be a smaller integer.",
    "int_from_float": "Must be an integer.",
    "float_type": "Must be a number.",
    "float_parsing": "Must be a number.",
    "finite_number": "Must be a finite number.",
    "bool_type": "Must be true or false.",
    "bool_parsing": "Must be true or false.",
    "none_required": "Must be null.",
    "dict_type": "Must be an object.",
    "model_type": "Must be an object.",
    "model_attributes_type": "Must be an object.",
    "list_type": "Must be an array.",
    "uuid_parsing": "Must be a UUID.",
    "uuid_type": "Must be a UUID.",
    "uuid_version": "Must be a version {expected_version} UUID.",
    "greater_than_equal": "Must be at least {ge:.15g}.",
    "greater_than": "Must be greater than {gt:.15g}.",
    "less_than_equal": "Must be at most {le:.15g}.",
    "less_than": "Must be less than {lt:.15g}.",
    "enum": "Must be {expected}.",
    "literal_error": "Must be {expected}.",
    "union_tag_not_found": "Must have the member {discriminator}.",
    "union_tag_invalid": "The member {discriminator} must be one of {expected_tags}.",
}
_FAMILIES = {
    "datetime": "Must be a time with a time zone, for example 2026-11-22T10:00:00Z.",
    "timezone": "Must be a time with a time zone, for example 2026-11-22T10:00:00Z.",
    "date": "Must be a date, for example 2026-11-22.",
    "url": "Must be a URL.",
    "decimal": "Must be a decimal number.",
}
"""Details by the first word of pydantic's error type."""


class FieldValueError(ValueError):
    """A validation error with its own code and detail, for use in pydantic validators.

    Both are sent to the client, so neither may contain the submitted value.
    """

    def __init__(self, code: str, detail: str) -> None:
        super().__init__(detail)
        self.code = code
        self.detail = detail


class _Found(NamedTuple):
    """An error, and the pointer of the union that it is a branch of, if any."""

    error: FieldError
    union: str | None


def from_validation(found: Sequence[Any], body: object = _UNKNOWN) -> ParleyError:
    """Convert pydantic's error list for this body; submitted values are left out."""
    if any(e["type"] == "json_invalid" for e in found):
        return errors.InvalidJson()
    return errors.ValidationFailed(_merged([_convert(e, body) for e in found[:MAX_ERRORS]]))


def _convert(found: dict[str, Any], body: object) -> _Found:
    kind = str(found["type"])
    segments, union = _real_segments(found["loc"], kind, body)
    pointer = json_pointer(*segments)
    return _Found(
        FieldError(pointer, *_code_and_detail(found, kind, pointer)), None if union is None else json_pointer(*union)
    )


def _code_and_detail(found: dict[str, Any], kind: str, pointer: str) -> tuple[str, str]:
    context = found.get("ctx") or {}
    cause = context.get("error")
    if isinstance(cause, FieldValueError):
        return cause.code, cause.detail
    detail = _FAMILIES.get(kind.partition("_")[0], "This value is invalid.")
    with contextlib.suppress(KeyError, IndexError, ValueError):
        detail = _DETAILS[kind].format(unit=_unit(context), **context)
    if not pointer and found["loc"][:1] == ("body",) and (kind == "missing" or detail == _DETAILS["dict_type"]):
        detail = "The body must be a JSON object."
    return _CODES.get(kind, kind), detail


def _unit(context: dict[str, Any]) -> str:
    lists = context.get("field_type") in {"List", "Dictionary", "Set", "Tuple"}
    one, many = ("entry", "entries") if lists else ("character", "characters")
    return one if 1 in (context.get("min_length"), context.get("max_length")) else many


def _real_segments(loc: Sequence[Any], kind: str, body: object) -> tuple[list[Any], list[Any] | None]:
    """Return the segments of a location that the client can see, and those of the last union, if any.

    Pydantic also names validators and the branches of unions, which are not in the body.
    """
    if loc and loc[0] in _LOCATIONS:
        return list(loc[1:]), None
    names = loc[1:] if loc and loc[0] == "body" else loc
    node, kept, union = body, list[Any](), None
    for index, name in enumerate(names):
        inner = _child(node, name)
        if inner is not _UNKNOWN or (node is _UNKNOWN and "[" not in str(name)):
            node = inner
        elif kind != "missing" or index < len(names) - 1:
            union = list(kept)
            continue
        kept.append(name)
    return kept, union


def _child(node: object, name: object) -> object:
    if isinstance(node, Mapping):
        return node.get(name, _UNKNOWN)
    if isinstance(node, list) and isinstance(name, int) and name < len(node):
        return node[name]
    return _UNKNOWN


def _merged(found: Sequence[_Found]) -> Iterator[FieldError]:
    """Merge the errors of a union's branches: those of the branches whose type fits, else one that names all types."""
    groups: dict[tuple[str, int], list[FieldError]] = {}
    for number, each in enumerate(found, start=1):
        if each.union is None:
            groups[each.error.pointer, number] = [each.error]
        elif not (_is_other_type(each) and any(_has_branch_of(other, each.union) for other in found)):
            groups.setdefault((each.error.pointer, 0), []).append(each.error)
    for group in groups.values():
        yield FieldError(group[0].pointer, group[0].code, _join([error.detail for error in group]))


def _is_other_type(found: _Found) -> bool:
    """Tell whether the value is of another type than the branch of the union."""
    code = found.error.code
    return found.error.pointer == found.union and (code.endswith(_TYPE_ENDINGS) or code in _TYPE_CODES)


def _has_branch_of(found: _Found, union: str) -> bool:
    """Tell whether an error is of a branch of the union whose type fits."""
    return found.error.pointer.startswith(f"{union}/") or (found.union == union and not _is_other_type(found))


def _join(details: Sequence[str]) -> str:
    different = list(dict.fromkeys(details))
    if len(different) > 1 and all(each.startswith("Must be ") and each.count(".") == 1 for each in different):
        return f"Must be {' or '.join(each[8:-1] for each in different)}."
    return different[0]
