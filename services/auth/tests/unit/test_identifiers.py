"""User names and e-mail addresses."""

import pytest

from auth.security import identifiers
from parley.web.validation import FieldValueError


@pytest.mark.parametrize(
    ("text", "shown"),
    [("ada", "ada"), (" Ada ", "Ada"), ("\uff41\uff44\uff41", "ada"), ("李四", "李四"), ("zoë.o-b_1", "zoë.o-b_1")],
)
def test_a_user_name_is_stored_in_composed_form(text: str, shown: str) -> None:
    assert identifiers.username(text) == shown


@pytest.mark.parametrize(
    "text", ["", "  ", "a b", "a@b", "a/b", ".a", "-a", "a\u200bb", "a\u202eb", "💥", "p\u0430ypal", "a" * 65, "a\nb"]
)
def test_an_invalid_user_name_is_refused(text: str) -> None:
    with pytest.raises(FieldValueError):
        identifiers.username(text)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("Ada@Example.ORG", "Ada@example.org"),
        ("a.b+tag@example.org", "a.b+tag@example.org"),
        ("ü@bücher.example", "ü@xn--bcher-kva.example"),
    ],
)
def test_an_address_is_stored_with_an_ascii_domain(text: str, shown: str) -> None:
    assert identifiers.email(text) == shown


@pytest.mark.parametrize(
    "text",
    [
        "",
        "a",
        "@example.org",
        "a@",
        "a@b",
        "a b@example.org",
        "a@b@example.org",
        "a@-x.org",
        ".a@example.org",
        "a" * 65 + "@example.org",
    ],
)
def test_an_invalid_address_is_refused(text: str) -> None:
    with pytest.raises(FieldValueError):
        identifiers.email(text)


@pytest.mark.parametrize(
    ("one", "other"),
    [("Ada", "ADA"), ("straße", "STRASSE"), ("\uff41da", "ada"), ("A@Bücher.example", "a@XN--BCHER-KVA.example")],
)
def test_spellings_of_the_same_name_have_one_key(one: str, other: str) -> None:
    assert identifiers.key(one) == identifiers.key(other)


def test_an_invalid_login_has_a_key_too() -> None:
    assert identifiers.key("x" * 10_000 + "@@") == "x" * 10_000 + "@@"
