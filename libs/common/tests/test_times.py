"""Times of the API."""

from datetime import UTC, datetime, timedelta, timezone

import pytest
from pydantic import TypeAdapter, ValidationError

from parley.times import iso
from parley.web.request_times import LATEST, Moment


def test_times_are_in_utc_with_milliseconds() -> None:
    moment = datetime(2026, 11, 22, 12, 0, 0, 123_999, timezone(timedelta(hours=2)))
    assert iso(moment) == "2026-11-22T10:00:00.123Z"


def test_infinite_times_of_the_database_can_be_shown() -> None:
    assert iso(datetime.min) == "0001-01-01T00:00:00.000Z"  # noqa: DTZ901 - the driver returns them without a zone
    assert iso(datetime.max) == "9999-12-31T23:59:59.999Z"  # noqa: DTZ901


def test_a_time_of_a_request_is_never_infinite_in_the_database() -> None:
    adapter: TypeAdapter[datetime] = TypeAdapter(Moment)
    assert adapter.validate_python("9999-12-31T23:59:59.9999999Z") == LATEST < datetime.max.replace(tzinfo=UTC)
    assert adapter.validate_python("2026-11-22T12:00:00+02:00") == datetime(2026, 11, 22, 10, tzinfo=UTC)
    with pytest.raises(ValidationError):
        adapter.validate_python("9999-12-31T23:59:59-12:00")
