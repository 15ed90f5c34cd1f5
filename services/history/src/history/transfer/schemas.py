"""Response bodies of the import route."""

from uuid import UUID

from parley.web.schemas import ResponseBody

MAX_SKIPPED = 1000
"""Entries of ``skipped`` in a report."""


class Imported(ResponseBody):
    """An imported conversation. ``index`` is its position in the file, ``messages`` the number of its messages."""

    index: int
    conversation_id: UUID
    title: str | None
    messages: int


class Skipped(ResponseBody):
    """A part of the file that was not imported: its position, a code and the reason."""

    index: int
    pointer: str
    code: str
    detail: str


class ImportReport(ResponseBody):
    """The result of an import."""

    imported: list[Imported]
    skipped: list[Skipped]
