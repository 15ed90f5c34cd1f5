"""Recognition of event data in the form in which Parley's services write it.

Such data is stored as it arrived: to write its model as JSON again would give the same, and take twice as long as
everything else that is done with the data. All other data is left to the model.
"""

import types
from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal
from typing import Annotated, Any, Literal, Union, get_args, get_origin
from uuid import UUID

from pydantic import BaseModel, ConfigDict, StringConstraints, ValidationError, create_model

_DATE = (
    "[1-9][0-9]{3}-(?:(?:0[1-9]|1[0-2])-(?:0[1-9]|1[0-9]|2[0-8])|(?:0[13-9]|1[0-2])-(?:29|30)|(?:0[13578]|1[02])-31)"
)
"""All dates but those of 29 February."""
_TIME = r"(?:[01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9]\.[0-9]{3}"
_FORMS: Mapping[object, Any] = {
    UUID: Annotated[str, StringConstraints(pattern="^[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$")],
    datetime: Annotated[str, StringConstraints(pattern=f"^{_DATE}T{_TIME}Z$")],
    Decimal: Annotated[str, StringConstraints(pattern=r"^(?:0|[1-9][0-9]{0,14})\.[0-9]{9}$")],
    **{plain: plain for plain in (str, int, bool, type(None))},
}


class CanonicalForm:
    """The form of the data of one event model."""

    def __init__(self, model: type[BaseModel]) -> None:
        """Raise TypeError for a model with a member that has no such form."""
        self._model = _form_of_model(model)

    def read(self, data: bytes) -> Any:
        """Return an object with the members of the model, in which ids and times are texts; None for another form."""
        if b"\\u" in data:
            return None  # perhaps an escape that databases do not store
        try:
            return self._model.model_validate_json(data)
        except ValidationError:
            return None


def _form_of_model(model: type[BaseModel]) -> type[BaseModel]:
    members: dict[str, Any] = {name: (_form(field.annotation), ...) for name, field in model.model_fields.items()}
    config = ConfigDict(strict=True, extra="forbid")
    return create_model(f"Canonical{model.__name__}", __config__=config, **members)


def _form(wanted: Any) -> Any:
    if wanted in _FORMS:
        return _FORMS[wanted]
    origin, arguments = get_origin(wanted), get_args(wanted)
    if origin is Annotated:
        return _form(arguments[0])
    if origin is Literal or wanted == dict[str, str]:
        return wanted
    if origin in {Union, types.UnionType}:
        return Union[tuple(_form(one) for one in arguments if _has_form(one))]  # noqa: UP007 - made of a tuple
    if origin is list:
        return list[_form(arguments[0])]  # type: ignore[misc]  # a type made at run time
    if isinstance(wanted, type) and issubclass(wanted, BaseModel):
        return _form_of_model(wanted)
    raise TypeError(f"{wanted} has no canonical form")


def _has_form(wanted: Any) -> bool:
    """Return False for JSON of any form, as arguments of tools are."""
    return bool(wanted != list[dict[str, Any]])
