"""Request and response bodies of the internal turn routes."""

from uuid import UUID

from pydantic import Field

from parley.web.schemas import RequestBody, ResponseBody


class TurnIdsRequest(RequestBody):
    """The turns to look up."""

    turn_ids: list[UUID] = Field(max_length=1000)


class KnownTurnsResponse(ResponseBody):
    """The requested turns that chat need not publish again."""

    known: list[UUID]


class TurnDigest(ResponseBody):
    """The stored status of a turn, and the hexadecimal SHA-256 of its answer in UTF-8."""

    status: str
    sha256: str | None


class TurnDigestsResponse(ResponseBody):
    """The digests of the requested turns that are stored, by turn id."""

    digests: dict[UUID, TurnDigest]
