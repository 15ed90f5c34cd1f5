"""Strict JSON: what other parsers could read differently is refused."""

import pytest

from parley.errors import InvalidJson
from parley.web import strict_json


def test_a_value_is_read() -> None:
    text = ' {"a": [1, 2.5, true, null, "\\u00e9", "é"], "b": {}} '
    expected = {"a": [1, 2.5, True, None, "é", "é"], "b": {}}
    assert strict_json.loads(text) == strict_json.loads(text.encode()) == expected


@pytest.mark.parametrize(
    "text",
    [
        "NaN", "[Infinity]", '{"a":-Infinity}', '{"a":1,"a":1}', '[{"b":{"a":1,"\\u0061":2}}]', "", "{", "[1,]", "'a'",
        '{"a":1}{"b":2}', "[" * 100_000, "\ufeff[]",
    ],
)  # fmt: skip
def test_ambiguous_texts_are_refused(text: str) -> None:
    with pytest.raises(InvalidJson):
        strict_json.loads(text)


@pytest.mark.parametrize(
    "data", ['{"a":1}'.encode("utf-16"), '{"a":1}'.encode("utf-16-le"), b'"\xff"', b"\xef\xbb\xbf[]"]
)
def test_only_utf_8_is_read(data: bytes) -> None:
    with pytest.raises(InvalidJson):
        strict_json.loads(data)


@pytest.mark.parametrize(
    ("data", "detail"),
    [
        (b'{"a": 1,\n "b": }', "The JSON is not valid at line 2, column 7."),
        (b"", "The JSON is not valid at line 1, column 1."),
        (b"\xef\xbb\xbf{}", "The JSON begins with a byte order mark. Send it without."),
        (b'{"a": "\xe9"}', "The JSON is not encoded as UTF-8."),
    ],
)
def test_a_refusal_says_where_the_text_is_wrong(data: bytes, detail: str) -> None:
    with pytest.raises(InvalidJson) as refused:
        strict_json.loads(data)
    assert refused.value.detail == detail


@pytest.mark.parametrize("value", ["{}", "[]", "1", '"a"', '{"a":{}}'])
def test_a_text_of_too_many_values_is_refused_before_it_is_parsed(value: str) -> None:
    with pytest.raises(InvalidJson, match="at most"):
        strict_json.loads("[" + f"{value}," * strict_json.MAX_VALUES + "no JSON")


@pytest.mark.parametrize("member", ['"{}":1', '"{}\\\\":"\\\\"', '"{}\\"":""'])
def test_a_text_of_too_many_strings_is_refused_before_it_is_parsed(member: str) -> None:
    members = ",".join(member.replace("{}", str(number)) for number in range(2 * strict_json.MAX_STRINGS))
    with pytest.raises(InvalidJson, match="at most"):
        strict_json.loads(f"{{{members}")


@pytest.mark.parametrize("text", ["a, b", "[{,", '\\"a\\": [1, {}],', "\\\\", "a,\\n"])
def test_punctuation_inside_strings_is_not_counted(text: str) -> None:
    long = f'{{"a":"{text * 50_000}","b":[1,"{text * 10}"]}}'
    assert strict_json.loads(long)["b"][0] == 1


@pytest.mark.parametrize("text", ['"' + '\\"' * 500_000, '[",' * 30_000, '"\\', '"' * 70_001])
def test_unfinished_strings_are_refused(text: str) -> None:
    with pytest.raises(InvalidJson):
        strict_json.loads(text)


@pytest.mark.parametrize("opening", ["[", '{"a":'])
def test_a_text_has_a_maximum_depth(opening: str) -> None:
    closing = "]" if opening == "[" else "}"
    deepest = opening * strict_json.MAX_DEPTH + "1" + closing * strict_json.MAX_DEPTH
    assert strict_json.loads(deepest)
    with pytest.raises(InvalidJson, match="500 levels"):
        strict_json.loads(f"[{deepest}]")


@pytest.mark.parametrize("text", ["[]," * 600 + "[]", '["' + "[" * 600 + '"]', '["\\"' + "{" * 600 + '"]'])
def test_only_levels_count_as_depth(text: str) -> None:
    assert strict_json.loads(f"[{text}]")


def test_more_ends_than_beginnings_are_no_json() -> None:
    with pytest.raises(InvalidJson):
        strict_json.loads("[" * 501 + "]" * 500_000)
