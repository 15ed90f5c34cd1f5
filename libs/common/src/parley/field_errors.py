"""Error of one field of a request, and JSON pointers to fields."""

from collections.abc import Sequence
from dataclasses import dataclass

MAX_NAMED_FIELDS = 5
"""Invalid fields that a summary names."""
MAX_POINTER_SEGMENT = 64
"""Maximum length of a client's field name in a JSON pointer; longer names are truncated."""


def json_pointer(*names: object) -> str:
    """Return the JSON pointer of nested fields."""
    escaped = (str(name)[:MAX_POINTER_SEGMENT].replace("~", "~0").replace("/", "~1") for name in names)
    return "".join(f"/{name}" for name in escaped)


@dataclass(frozen=True, slots=True)
class FieldError:
    """One invalid field of a request: JSON pointer, code and explanation; never the submitted value."""

    pointer: str
    code: str
    detail: str

    @property
    def name(self) -> str | None:
        """The field as a path with dots, for example ``metadata.color``. None for the whole body."""
        return self.pointer.strip("/").replace("/", ".").replace("~1", "/").replace("~0", "~") or None

    def sentence(self) -> str:
        """Return the field and its error, for example ``message: at least 1 character``."""
        if self.name is None or self.detail.startswith(f"`{self.name}`"):
            return self.detail
        detail = self.detail if ". " in self.detail else self.detail.rstrip(".")
        if detail[1:2].islower() or detail[1:2] == " ":
            detail = detail[0].lower() + detail[1:]
        return f"{self.name}: {detail}"


def summary(errors: Sequence[FieldError]) -> str:
    """Return one sentence about one or more invalid fields."""
    if len(errors) == 1:
        return errors[0].sentence()
    named = ", ".join(dict.fromkeys(each.name for each in errors[:MAX_NAMED_FIELDS] if each.name))
    return f"{len(errors)} fields are invalid{': ' if named else ''}{named}."
