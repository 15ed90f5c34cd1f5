"""Validation that loses only what is invalid."""

from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from history.transfer.drafts import SkippedPart
from history.transfer.schemas import MAX_SKIPPED
from parley.web.validation import from_validation

M = TypeVar("M", bound=BaseModel)


def validate(model: type[M], value: Any, required: frozenset[str], path: str) -> tuple[M | None, list[SkippedPart]]:
    """Return the value without its invalid members, and what is wrong with those.

    None when a required member is invalid, or the value is not an object.
    """
    try:
        return model.model_validate(value), []
    except ValidationError as error:
        skipped, invalid = invalid_parts(error, path), {item["loc"][0] if item["loc"] else "" for item in _items(error)}
    if not isinstance(value, dict) or invalid & required or not invalid <= value.keys():
        return None, skipped
    return model.model_validate({name: part for name, part in value.items() if name not in invalid}), skipped


def _items(error: ValidationError) -> Any:
    return error.errors(include_url=False, include_input=False, include_context=False)


def invalid_parts(error: ValidationError, path: str) -> list[SkippedPart]:
    """Return what is wrong with a value at a path."""
    if error.error_count() > MAX_SKIPPED:
        return [SkippedPart(path, "too_many_errors", f"{error.error_count():,} values are invalid.")]
    found = from_validation(error.errors(include_url=False, include_input=False)).errors
    return [SkippedPart(path + one.pointer, one.code, one.detail) for one in found]
