"""Field types and base classes of request and response bodies."""

from decimal import Decimal

import pytest
from pydantic import ValidationError

from parley.web.schemas import Money, Page, RequestBody, ResponseBody, Text


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
