"""Error of one field of a request."""

from dataclasses import dataclass


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
