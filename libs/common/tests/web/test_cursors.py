"""Opaque list cursors."""

from datetime import UTC, datetime
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from parley.errors import InvalidCursor
from parley.ids import new_id
from parley.web import cursors


def test_a_cursor_decodes_to_the_values_that_were_encoded() -> None:
    one, moment = new_id(), datetime(2026, 11, 22, 10, 0, 0, 123456, tzinfo=UTC)
    cursor = cursors.encode("list", (str(one), 7, moment.isoformat()))
    assert cursors.decode("list", cursor, (UUID, int, datetime)) == [one, 7, moment]


@given(st.text())
def test_text_that_is_not_a_cursor_is_refused(text: str) -> None:
    with pytest.raises(InvalidCursor):
        cursors.decode("list", text, (UUID, int))


@pytest.mark.parametrize("values", [("abc", 7), (str(UUID(int=1)), True), (str(UUID(int=1)), 2**63), (1, 1), (None,)])
def test_a_cursor_with_values_of_other_types_is_refused(values: tuple[str | int | None, ...]) -> None:
    with pytest.raises(InvalidCursor):
        cursors.decode("list", cursors.encode("list", values), (UUID, int))
