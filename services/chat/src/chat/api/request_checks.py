"""Checks that the routes of OpenAI's and Anthropic's APIs share: their errors, and what a model can do."""

from collections.abc import Iterable, Mapping

from chat import errors
from chat.admission.admission import NO_TOOLS
from chat.catalogue import Model
from parley.errors import InvalidRequest
from parley.field_errors import FieldError, json_pointer

_NOTHING: Mapping[str, str] = {}


def invalid(pointer: str, code: str, detail: str) -> InvalidRequest:
    """Return the error of one parameter."""
    return InvalidRequest(errors=[FieldError(pointer, code, detail)])


def refuse_parameters(names: Iterable[str], at: str = "", hints: Mapping[str, str] = _NOTHING) -> None:
    """Raise InvalidRequest for the first of the parameters, which are members of the object ``at`` a pointer.

    ``hints`` say what to do instead, by name.
    """
    for name in names:
        detail = f"The parameter is not supported. {hints.get(name, 'Remove it.')}"
        raise invalid(at + json_pointer(name), "unsupported_parameter", detail)


def refuse_options(
    model: Model, options: Iterable[str], hints: Mapping[str, str] = _NOTHING, places: Mapping[str, str] = _NOTHING
) -> None:
    """Raise InvalidRequest for the first option that the model does not take.

    ``places`` are the pointers of the parameters that become options of other names.
    """
    for name in options:
        if name not in model.parameters:
            detail = f"This model does not support the parameter. {hints.get(name, 'Remove it.')}"
            raise invalid(places.get(name) or json_pointer(name), "unsupported_parameter", detail)


def unsupported_type(pointer: str, detail: str) -> errors.UnsupportedContent:
    """Return the error of a content part or block whose type is not supported."""
    return errors.UnsupportedContent(detail, errors=[FieldError(f"{pointer}/type", "unsupported", detail)])


def require_model(given: str | None) -> None:
    """Raise InvalidRequest if a request names no model."""
    if not given:
        raise invalid("/model", "required", "This field is required. Send the ID of a model of `GET /v1/models`.")


def require_tools(model: Model) -> None:
    """Raise InvalidRequest if the model may answer without the call that the request requires."""
    if "tools" not in model.capabilities:
        raise invalid("/tool_choice", "unsupported", NO_TOOLS)


def capabilities(*, images: bool, calls: bool, urls: bool = False) -> frozenset[str]:
    """Return the capabilities that a model needs for ``images``, for addresses of images and for required ``calls``."""
    needed = {"vision": images, "tools": calls, "image_urls": urls}
    return frozenset(name for name, is_needed in needed.items() if is_needed)
