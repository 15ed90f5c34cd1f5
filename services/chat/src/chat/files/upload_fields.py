"""Fields of an upload's form beside the file: its purpose, and when it expires."""

from collections.abc import Collection

from chat.files.upload_form import FormField
from parley.errors import InvalidRequest
from parley.field_errors import FieldError

DEFAULT_PURPOSE = "chat"
MIN_LIFETIME, MAX_LIFETIME = 3600, 2_592_000
"""Seconds from the creation of a file to its expiry, as OpenAI has them: an hour to 30 days."""
_EXPIRY = "expires_after"
_ANCHOR, _SECONDS = f"{_EXPIRY}[anchor]", f"{_EXPIRY}[seconds]"
CREATED_AT = "created_at"
"""The only anchor that there is."""


class UploadFields:
    """The fields of one form, which may precede and follow the file. Others are ignored, since clients may add them."""

    def __init__(self, purposes: Collection[str]) -> None:
        self._purposes, self.purpose = purposes, DEFAULT_PURPOSE
        self._anchored = False
        self._seconds: int | None = None

    def read(self, field: FormField) -> None:
        """Take a field; raises InvalidRequest."""
        if field.name == "purpose":
            self.purpose = self._known_purpose(field.value)
        elif field.name == _ANCHOR:
            self._anchored = _known_anchor(field.value)
        elif field.name == _SECONDS:
            self._seconds = _known_seconds(field.value)
        elif field.name.startswith(_EXPIRY):
            detail = f"The parameter is not supported. Send `{_ANCHOR}` and `{_SECONDS}`."
            raise _invalid(f"/{_EXPIRY}", "unsupported_parameter", detail)

    def lifetime(self) -> int | None:
        """Return the seconds after which the file expires, None for a file that does not; raises InvalidRequest."""
        if self._anchored != (self._seconds is not None):
            missing = "seconds" if self._anchored else "anchor"
            raise _invalid(f"/{_EXPIRY}/{missing}", "required", f"Send `{_ANCHOR}` and `{_SECONDS}` together.")
        return self._seconds

    def _known_purpose(self, value: str) -> str:
        if value not in self._purposes:
            detail = f"Must be one of {', '.join(f'`{name}`' for name in sorted(self._purposes))}."
            raise _invalid("/purpose", "unsupported", detail)
        return value


def _known_anchor(value: str) -> bool:
    if value != CREATED_AT:
        raise _invalid(f"/{_EXPIRY}/anchor", "unsupported", f"Must be `{CREATED_AT}`.")
    return True


def _known_seconds(value: str) -> int:
    is_number = value.isascii() and value.isdecimal() and len(value) <= len(str(MAX_LIFETIME))
    if not is_number or not MIN_LIFETIME <= int(value) <= MAX_LIFETIME:
        detail = f"Must be an integer from {MIN_LIFETIME} to {MAX_LIFETIME}."
        raise _invalid(f"/{_EXPIRY}/seconds", "out_of_range", detail)
    return int(value)


def _invalid(pointer: str, code: str, detail: str) -> InvalidRequest:
    return InvalidRequest(errors=[FieldError(pointer, code, detail)])
