"""User names and e-mail addresses."""

import pytest

from auth.security import identifiers
from auth.security.identifiers import MAX_MARKS
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
    "invisible", ["\u034f", "\u115f", "\u1160", "\u3164", "\uffa0", "\u17b4", "\u180b", "\ufe0f", "\U000e0100"]
)
def test_a_user_name_has_no_invisible_letters(invisible: str) -> None:
    for text in (f"ada{invisible}", f"a{invisible}da", f"{invisible}ada"):
        with pytest.raises(FieldValueError, match="invisible"):
            identifiers.username(text)


def test_a_user_name_has_few_accents_in_a_row() -> None:
    most = "b" + "\u0301" * MAX_MARKS
    assert identifiers.username(most + "b\u0301") == most + "b\u0301"
    with pytest.raises(FieldValueError, match="accents"):
        identifiers.username(most + "\u0301")
    assert identifiers.username("नमस्ते") == "नमस्ते"


def test_the_error_of_a_long_local_part_names_its_limit() -> None:
    with pytest.raises(FieldValueError, match="At most 64 characters before the @"):
        identifiers.email("a" * 65 + "@example.org")


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
        "ada\u3164@example.org",
        "=?utf-8?q?=61da?=@example.org",
        "=?utf-8?q?ada=40example.com=2C?=@example.org",
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
