"""Account erasures."""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID


@dataclass(frozen=True, slots=True)
class Erasure:
    """The erasure of one account; ``services`` maps each service to ``pending`` or ``confirmed``."""

    id: str
    user_id: UUID
    requested_at: datetime
    completed_at: datetime | None
    services: dict[str, str]
