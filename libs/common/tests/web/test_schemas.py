"""Field types and base classes of request and response bodies."""

from decimal import Decimal
from typing import Annotated

import pytest
from pydantic import ValidationError, field_validator

from parley.web import validation
from parley.web.schemas import MAX_MEMBERS, Id, Money, Page, RequestBody, ResponseBody, Text, max_entries, refuse_null


class Note(RequestBody):
    text: Text


class SamplePrice(ResponseBody):
    amount: Money


def test_an_unknown_field_is_rejected() -> None:
    with pytest.raises(ValidationError, match="extra_forbidden"):
        Note.model_validate({"text": "a", "extra": 1})


@pytest.mark.parametrize("text", ["nul\x00", "lone \ud800"])
def test_text_that_postgres_cannot_store_is_rejected(text: str) -> None:
    with pytest.raises(ValidationError):
        Note(text=text)


def test_money_has_nine_decimal_places() -> None:
    page = Page[SamplePrice](data=[SamplePrice(amount=Decimal("0.00001234"))], next_cursor=None)
    assert page.model_dump(mode="json") == {"data": [{"amount": "0.000012340"}], "next_cursor": None}


class Labelled(RequestBody):
    labels: Annotated[dict[str, Text], max_entries(2)]


def test_entries_are_counted_before_they_are_validated() -> None:
    with pytest.raises(ValidationError) as refused:
        Labelled.model_validate({"labels": dict.fromkeys("abc", 1)})
    problem = validation.from_validation(refused.value.errors())
    assert [(error.pointer, error.code) for error in problem.errors] == [("/labels", "too_long")]
    assert Labelled.model_validate({"labels": {"a": "b"}}).labels == {"a": "b"}


class _Lines(RequestBody):
    lines: list[int]


def test_a_response_names_at_most_a_hundred_invalid_fields() -> None:
    with pytest.raises(ValidationError) as refused:
        _Lines.model_validate({"lines": ["x"] * 5_000})
    assert len(validation.from_validation(refused.value.errors()).errors) == validation.MAX_ERRORS


def test_an_object_of_many_members_is_refused_with_one_error() -> None:
    with pytest.raises(ValidationError) as refused:
        _Lines.model_validate({f"member-{number}": 1 for number in range(MAX_MEMBERS + 1)})
    (found,) = validation.from_validation(refused.value.errors()).errors
    assert found.code == "too_long"


ID = "01a200a7-0000-7000-8000-000000000001"


class Reference(RequestBody):
    id: Id
    name: str | None = None
    _kept = field_validator("name", mode="before")(refuse_null)


@pytest.mark.parametrize(
    "text",
    [
        "01A200A7-0000-7000-8000-000000000001",
        "{01a200a7-0000-7000-8000-000000000001}",
        "urn:uuid:01a200a7-0000-7000-8000-000000000001",
        "01a200a7000070008000000000000001",
        "",
    ],
)
def test_an_id_has_one_spelling(text: str) -> None:
    with pytest.raises(ValidationError, match="lower case"):
        Reference.model_validate({"id": text})
    assert str(Reference.model_validate({"id": ID}).id) == ID


def test_a_member_that_cannot_be_empty_refuses_null_and_may_be_absent() -> None:
    assert Reference.model_validate({"id": ID}).name is None
    with pytest.raises(ValidationError, match="Omit the member"):
        Reference.model_validate({"id": ID, "name": None})
