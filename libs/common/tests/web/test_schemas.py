"""Field types and base classes of request and response bodies."""

from decimal import Decimal
from typing import Annotated

import pytest
from pydantic import ValidationError

from parley.web import problems
from parley.web.schemas import Money, Page, RequestBody, ResponseBody, Text, at_most


class Note(RequestBody):
    text: Text


class Price(ResponseBody):
    amount: Money


def test_an_unknown_field_is_rejected() -> None:
    with pytest.raises(ValidationError, match="extra_forbidden"):
        Note.model_validate({"text": "a", "extra": 1})


@pytest.mark.parametrize("text", ["nul\x00", "lone \ud800"])
def test_text_that_postgres_cannot_store_is_rejected(text: str) -> None:
    with pytest.raises(ValidationError):
        Note(text=text)


def test_money_has_nine_decimal_places() -> None:
    page = Page[Price](data=[Price(amount=Decimal("0.00001234"))], next_cursor=None)
    assert page.model_dump(mode="json") == {"data": [{"amount": "0.000012340"}], "next_cursor": None}


class Labelled(RequestBody):
    labels: Annotated[dict[str, Text], at_most(2)]


def test_entries_are_counted_before_they_are_validated() -> None:
    with pytest.raises(ValidationError) as refused:
        Labelled.model_validate({"labels": dict.fromkeys("abc", 1)})
    problem = problems.from_validation(refused.value.errors())
    assert [(error.pointer, error.code) for error in problem.errors] == [("/labels", "too_long")]
    assert Labelled.model_validate({"labels": {"a": "b"}}).labels == {"a": "b"}
