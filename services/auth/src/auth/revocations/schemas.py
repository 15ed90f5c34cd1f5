"""Request and response bodies of revocation checks."""

from pydantic import Field

from parley.web.schemas import RequestBody, ResponseBody, Text

MAX_CHECKED = 1000


class RevocationQuestion(RequestBody):
    """Sessions to check, and users with the second in which their token was issued."""

    sessions: list[Text] = Field(default_factory=list, max_length=MAX_CHECKED)
    users: dict[Text, int] = Field(default_factory=dict, max_length=MAX_CHECKED)


class RevocationAnswer(ResponseBody):
    """The revoked sessions and users among those checked."""

    revoked_sessions: list[str]
    revoked_users: list[str]
