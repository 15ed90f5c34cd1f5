"""Schemas of the frames that a client sends."""

from typing import Annotated, Any, Literal, TypeAlias
from uuid import UUID

from pydantic import Field, StringConstraints, TypeAdapter

from parley.web.schemas import RequestBody, Text

Ref = Annotated[Text, StringConstraints(min_length=1, max_length=64)]


class AuthFrame(RequestBody):
    """Authenticates the socket, or renews its token."""

    type: Literal["auth"]
    token: Annotated[Text, StringConstraints(max_length=8192)]


class CreateFrame(RequestBody):
    """Starts a turn. The members correspond to the headers and body of ``POST /chat``."""

    type: Literal["turn.create"]
    ref: Ref
    idempotency_key: Annotated[Text, StringConstraints(pattern=r"^[\x21-\x7e]{1,255}$")] | None = None
    cache_control: Annotated[Text, StringConstraints(max_length=256)] | None = None
    body: dict[str, Any]


class ResumeFrame(RequestBody):
    """Streams a turn after a cursor."""

    type: Literal["turn.resume"]
    ref: Ref
    turn_id: UUID
    after: Annotated[Text, StringConstraints(pattern=r"^[0-9]{1,9}$")] | None = None


class CancelFrame(RequestBody):
    """Cancels a turn."""

    type: Literal["turn.cancel"]
    ref: Ref
    turn_id: UUID


ClientFrame: TypeAlias = AuthFrame | CreateFrame | ResumeFrame | CancelFrame
CLIENT_FRAME: TypeAdapter[ClientFrame] = TypeAdapter(Annotated[ClientFrame, Field(discriminator="type")])
