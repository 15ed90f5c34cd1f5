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
        '{"a":1}{"b":2}', "[" * 100_000, "\ufeff[]", "[" + "{}," * strict_json.MAX_OBJECTS + "{}]",
    ],
)  # fmt: skip
def test_ambiguous_and_oversized_texts_are_refused(text: str) -> None:
    with pytest.raises(InvalidJson):
        strict_json.loads(text)


@pytest.mark.parametrize(
    "data", ['{"a":1}'.encode("utf-16"), '{"a":1}'.encode("utf-16-le"), b'"\xff"', b"\xef\xbb\xbf[]"]
)
def test_only_utf_8_is_read(data: bytes) -> None:
    with pytest.raises(InvalidJson):
        strict_json.loads(data)
