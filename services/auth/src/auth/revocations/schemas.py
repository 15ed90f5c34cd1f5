"""What gateways ask about revocations."""

from pydantic import Field

from parley.web.schemas import RequestBody, ResponseBody, Text

MAX_ASKED = 1000


class RevocationQuestion(RequestBody):
    """Sessions, and users with the second their token was issued in."""

    sessions: list[Text] = Field(default_factory=list, max_length=MAX_ASKED)
    users: dict[Text, int] = Field(default_factory=dict, max_length=MAX_ASKED)


class RevocationAnswer(ResponseBody):
    """Those among them that are revoked."""

    revoked_sessions: list[str]
    revoked_users: list[str]
