"""Field errors: what a client reads about its own fields, and nothing of the validators."""

import datetime as dt
from typing import Annotated, Any, Literal

import pytest
from pydantic import BaseModel, Field, StringConstraints, TypeAdapter, ValidationError

from parley.errors import InvalidRequest, ParleyError, ValidationFailed
from parley.field_errors import FieldError
from parley.web.schemas import RequestBody, Text
from parley.web.validation import from_validation


class Part(RequestBody):
    type: Literal["text"]
    text: Text


class SampleMessage(RequestBody):
    content: Text | list[Part]
    day: dt.date | None = None
    at: dt.datetime | None = None
    count: int = Field(1, ge=1, le=3)
    names: dict[Annotated[str, StringConstraints(max_length=3)], Text] = Field(default_factory=dict)


class Entry(BaseModel):
    parts: Text | list[Part] | None = None
    choice: Literal["none"] | Part | None = None
    size: Annotated[int, Field(ge=1)] | Annotated[str, StringConstraints(max_length=3)] | None = None


class Entries(BaseModel):
    input: Text | Annotated[list[Entry], Field(max_length=2, fail_fast=True)]


class Circle(BaseModel):
    kind: Literal["circle"]
    radius: float


class Square(BaseModel):
    kind: Literal["square"]
    side: float


SHAPES: TypeAdapter[Any] = TypeAdapter(list[Annotated[Circle | Square, Field(discriminator="kind")]])


def refused(model: type[BaseModel] | TypeAdapter[Any], body: object) -> ParleyError:
    validate = model.validate_python if isinstance(model, TypeAdapter) else model.model_validate
    with pytest.raises(ValidationError) as caught:
        validate(body)
    found = [{**each, "loc": ("body", *each["loc"])} for each in caught.value.errors(include_url=False)]
    return from_validation(found, body)


def pairs(error: ParleyError) -> list[tuple[str, str]]:
    return [(each.pointer, each.detail) for each in error.errors]


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ({"content": 5}, [("/content", "Must be a string or an array.")]),
        ({"content": [{"type": "text", "text": 5}]}, [("/content/0/text", "Must be a string.")]),
        ({"content": [{"type": "text"}]}, [("/content/0/text", "This field is required.")]),
        ({"content": ["x"]}, [("/content/0", "Must be an object.")]),
        ({"content": [{"type": "x", "text": "a"}]}, [("/content/0/type", "Must be 'text'.")]),
        ({}, [("/content", "This field is required.")]),
        ({"content": "x", "str": 1}, [("/str", "This field is not supported.")]),
        ({"content": "x", "day": "x"}, [("/day", "Must be a date, for example 2026-11-22.")]),
        ({"content": "x", "at": "x"}, [("/at", "Must be a time with a time zone, for example 2026-11-22T10:00:00Z.")]),
        ({"content": "x", "count": 0}, [("/count", "Must be at least 1.")]),
        ({"content": "x", "names": {"long name": "x"}}, [("/names/long name", "At most 3 characters.")]),
        ([], [("", "The body must be a JSON object.")]),
        (None, [("", "The body must be a JSON object.")]),
        ("x", [("", "The body must be a JSON object.")]),
    ],
)
def test_pointers_name_members_of_the_body_only(body: Any, expected: list[tuple[str, str]]) -> None:
    assert pairs(refused(SampleMessage, body)) == expected


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ([{}, {}, {}], [("/input", "too_long", "At most 2 entries.")]),
        ("\x00", [("/input", "invalid_text", "Must not contain the NUL character.")]),
        ({}, [("/input", "string_type", "Must be a string or an array.")]),
        ([5], [("/input/0", "model_type", "Must be an object.")]),
        ([{"parts": 5}], [("/input/0/parts", "string_type", "Must be a string or an array.")]),
        ([{"parts": "\x00"}], [("/input/0/parts", "invalid_text", "Must not contain the NUL character.")]),
        ([{"parts": [{"type": "text"}]}], [("/input/0/parts/0/text", "required", "This field is required.")]),
        ([{"choice": "x"}], [("/input/0/choice", "literal_error", "Must be 'none' or an object.")]),
        ([{"choice": {str(n): n for n in range(101)}}], [("/input/0/choice", "too_long", "At most 100 members.")]),
        ([{"size": 0}], [("/input/0/size", "greater_than_equal", "Must be at least 1.")]),
        ([{"size": "long"}], [("/input/0/size", "too_long", "At most 3 characters.")]),
        ([{"size": 1.5}], [("/input/0/size", "int_from_float", "Must be an integer or a string.")]),
    ],
)
def test_errors_of_a_union_are_those_of_the_branch_that_the_value_fits(
    given: object, expected: list[tuple[str, str, str]]
) -> None:
    errors = refused(Entries, {"input": given}).errors
    assert [(each.pointer, each.code, each.detail) for each in errors] == expected


def test_the_branch_of_a_union_is_not_named() -> None:
    body = [{"kind": "circle", "radius": 1}, {"kind": "square"}, {"kind": "x"}, {"kind": "circle", "radius": "far"}]
    assert [each.pointer for each in refused(SHAPES, body).errors] == ["/1/side", "/2", "/3/radius"]


@pytest.mark.parametrize(
    ("pointer", "detail", "sentence"),
    [
        ("/message", "At least 1 character.", "message: at least 1 character"),
        ("/metadata/a", "Must be a string.", "metadata.a: must be a string"),
        ("/messages/0/content", "Must be 'a' or 'b'.", "messages.0.content: must be 'a' or 'b'"),
        ("/day", "Use ISO 8601. For example 2026-11-22.", "day: use ISO 8601. For example 2026-11-22."),
        ("/tz", "IANA name expected.", "tz: IANA name expected"),
        ("/message", "`message` (a string) is expected.", "`message` (a string) is expected."),
        ("/a~1b", "Must be null.", "a/b: must be null"),
        ("", "The body must be a JSON object.", "The body must be a JSON object."),
    ],
)
def test_one_error_is_the_detail_of_the_problem(pointer: str, detail: str, sentence: str) -> None:
    error = ValidationFailed([FieldError(pointer, "x", detail)])
    assert error.detail == sentence


def test_a_malformed_request_says_which_field_is_wrong() -> None:
    wrong = FieldError("/purpose", "unsupported", "Must be `chat`.")
    assert InvalidRequest(errors=[wrong]).detail == "purpose: must be `chat`"
    assert InvalidRequest("The form is malformed.", errors=[wrong]).detail == "The form is malformed."
    assert InvalidRequest().detail == "The request is malformed."


def test_several_errors_are_counted_and_named() -> None:
    error = ValidationFailed([FieldError(f"/{name}", "x", "Wrong.") for name in "abcdefg"])
    assert error.detail == "7 fields are invalid: a, b, c, d, e."


@pytest.mark.parametrize(("count", "detail"), [(1, "At least 1 character."), (2, "At least 2 characters.")])
def test_units_have_a_singular(count: int, detail: str) -> None:
    adapter: TypeAdapter[Any] = TypeAdapter(Annotated[str, StringConstraints(min_length=count)])
    assert pairs(refused(adapter, "")) == [("", detail)]
    checked: TypeAdapter[Any] = TypeAdapter(Annotated[Text, StringConstraints(min_length=count)])
    assert pairs(refused(checked, "")) == [("", detail)]
    lists: TypeAdapter[Any] = TypeAdapter(Annotated[list[int], Field(min_length=count)])
    entries = {1: "At least 1 entry.", 2: "At least 2 entries."}
    assert pairs(refused(lists, [])) == [("", entries[count])]


@pytest.mark.parametrize(("limit", "shown"), [(2, "2"), (0.75, "0.75"), (10_000_000, "10000000")])
def test_limits_of_numbers_are_written_out(limit: float, shown: str) -> None:
    adapter: TypeAdapter[Any] = TypeAdapter(Annotated[float, Field(le=limit)])
    assert pairs(refused(adapter, 1e9)) == [("", f"Must be at most {shown}.")]
