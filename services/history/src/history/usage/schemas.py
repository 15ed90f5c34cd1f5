"""Response bodies of the usage route."""

from pydantic import Field

from parley.web.schemas import Money, ResponseBody


class UsageRow(ResponseBody):
    """The usage of some turns; ``cost`` is null when none of them has a known price."""

    turns: int
    prompt_tokens: int
    completion_tokens: int
    total_tokens: int
    estimated_turns: int
    cost: Money | None


class UsageGroup(UsageRow):
    """The usage of one day, model, conversation, provider or user."""

    key: str | None


class UsageReport(ResponseBody):
    """Usage from a date (inclusive) to a date (exclusive) in a time zone."""

    from_: str = Field(serialization_alias="from")
    to: str
    tz: str
    group: str
    data: list[UsageGroup]
    total: UsageRow
