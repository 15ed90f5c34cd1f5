"""Ranges of times for redelivery."""

import pytest
from pydantic import ValidationError

from webhooks.deliveries.schemas import RedeliverBody


@pytest.mark.parametrize(
    ("since", "until"),
    [
        ("2026-11-28T10:00:00Z", "2026-11-28T10:00:00Z"),
        ("0001-01-01T00:00:00+14:00", "2026-11-28T10:00:00Z"),
        ("2026-11-28T10:00:00Z", "9999-12-31T23:59:59-14:00"),
        ("2026-11-28T10:00:00", "2026-11-29T10:00:00"),
    ],
)
def test_an_empty_range_and_times_that_cannot_be_stored_are_refused(since: str, until: str) -> None:
    with pytest.raises(ValidationError):
        RedeliverBody.model_validate_json(f'{{"since": "{since}", "until": "{until}"}}')
