"""Response bodies of erasures."""

from typing import Literal, Self

from auth.erasure.model import Erasure
from parley.times import Timestamp
from parley.web.schemas import ResponseBody


class ErasureView(ResponseBody):
    """The progress of an erasure."""

    id: str
    status: Literal["running", "completed"]
    requested_at: Timestamp
    completed_at: Timestamp | None
    services: dict[str, Literal["pending", "confirmed"]]

    @classmethod
    def of(cls, erasure: Erasure) -> Self:
        """Return the view of an erasure."""
        return cls(
            id=erasure.id,
            status="completed" if erasure.completed_at else "running",
            requested_at=erasure.requested_at,
            completed_at=erasure.completed_at,
            services=dict(erasure.services),
        )
