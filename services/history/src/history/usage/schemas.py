"""Response bodies of the usage route."""

from pydantic import Field

from parley.web.schemas import Money, ResponseBody


class UsageRow(ResponseBody):
    """The usage of some turns; ``cost`` is null when none of those with tokens has a known price."""

    turns: int
    prompt_tokens: int
    completion_tokens: int
    total_tokens: int
    estimated_turns: int
    cost: Money | None


class UsageGroup(UsageRow):
    """The usage of one day, model, conversation, provider or user."""

    key: str | None


class AdminUsageGroup(UsageGroup):
    """The usage of one group of all users; ``username`` is null unless the key is the id of an existing user."""

    username: str | None


class UsageReport(ResponseBody):
    """Usage from a date (inclusive) to a date (exclusive) in a time zone."""

    from_: str = Field(serialization_alias="from")
    to: str
    tz: str
    group: str
    data: list[UsageGroup]
    total: UsageRow


class AdminUsageReport(UsageReport):
    """Usage of all users; ``username`` is null while auth does not respond."""

    data: list[AdminUsageGroup]  # type: ignore[assignment]  # a list of a subclass, never changed
