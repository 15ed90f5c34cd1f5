"""Identifiers."""

import pytest

from parley.ids import new_id, parse_id, pseudonym


def test_ids_sort_by_creation_time() -> None:
    ids = [new_id() for _ in range(1000)]
    assert ids == sorted(ids)
    assert {found.version for found in ids} == {7}


def test_an_id_in_canonical_form_is_parsed() -> None:
    found = new_id()
    assert parse_id(str(found)) == found


@pytest.mark.parametrize(
    "text", ["", "me", "0197A0B0-0000-7000-8000-000000000000", "{0197a0b0-0000-7000-8000-000000000000}"]
)
def test_any_other_text_is_no_id(text: str) -> None:
    assert parse_id(text) is None


def test_a_pseudonym_is_stable_and_does_not_contain_the_id() -> None:
    user = str(new_id())
    assert pseudonym(user) == pseudonym(user)
    assert pseudonym(user) not in user
