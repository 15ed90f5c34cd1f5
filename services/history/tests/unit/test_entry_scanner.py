"""Cutting import files into entries."""

from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from history.transfer.entry_scanner import MAX_PART_TOKENS, EntryScanner
from history.transfer.json_loading import MAX_REPAIRS, load
from parley.errors import InvalidJson

_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(0, 9) | st.text('a",\\[]{}\n é漢', max_size=6),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text('b"\\', max_size=3), inner, max_size=3),
    max_leaves=8,
)


def _entries(body: bytes, chunk_size: int = 65_536, *, lines: bool = False) -> list[Any]:
    scanner = EntryScanner(lines=lines)
    found = [e for at in range(0, len(body), chunk_size) for e in scanner.feed(body[at : at + chunk_size])]
    return [orjson.loads(entry.text) for entry in [*found, *scanner.finish()]]


@given(st.lists(_VALUES, max_size=4), st.integers(1, 9), st.sampled_from([0, orjson.OPT_INDENT_2]))
def test_the_entries_of_a_file_do_not_depend_on_its_chunks(values: list[Any], chunk_size: int, option: int) -> None:
    assert _entries(b" \r\n" + orjson.dumps(values, option=option) + b"\n ", chunk_size) == values
    assert _entries(b"\r\n \n".join(map(orjson.dumps, values)), chunk_size, lines=True) == values
    assert _entries(orjson.dumps({"a": values}, option=option), chunk_size) == [{"a": values}]


@given(st.dictionaries(st.text('a"\\\n[{', max_size=3), _VALUES, max_size=4), st.integers(1, 9), st.integers(0, 12))
def test_a_value_that_is_parsed_in_parts_is_the_same(value: dict[str, Any], chunk_size: int, part_size: int) -> None:
    body = b" " + orjson.dumps([value, value], option=orjson.OPT_INDENT_2)
    scanner = EntryScanner(lines=False)
    found = [e for at in range(0, len(body), chunk_size) for e in scanner.feed(body[at : at + chunk_size])]
    loaded = [load(entry.text, entry.cuts, part_size) for entry in found]
    assert [one.value for one in loaded] == [value, value]
    if part_size == 0:
        large = [member for member in value.values() if isinstance(member, list | dict)]
        assert [one.containers for one in loaded] == [large, large]


def test_a_large_entry_is_parsed_in_parts() -> None:
    entry = orjson.dumps({"title": "x", "mapping": {str(n): {"parent": None} for n in range(20_000)}, "y": [1]})
    scanner = EntryScanner(lines=False)
    (found,) = [*scanner.feed(entry), *scanner.finish()]
    loaded = load(found.text, found.cuts)
    assert loaded.value == orjson.loads(entry)
    assert [len(container) for container in loaded.containers] == [20_000, 1]
    loaded.release()
    assert loaded.value["mapping"] == {}


def test_one_bad_character_in_a_large_entry_is_replaced() -> None:
    messages = ["x" * 100] * 2_000
    entry = orjson.dumps({"messages": [*messages, "BAD", *messages]}).replace(b"BAD", b"\\ud800")
    scanner = EntryScanner(lines=False)
    (found,) = [*scanner.feed(entry), *scanner.finish()]
    loaded = load(found.text, found.cuts)
    assert loaded.value["messages"] == [*messages, "\ufffd", *messages]
    assert loaded.repaired


@pytest.mark.parametrize("text", [b"\\u0000" * (MAX_REPAIRS + 1), b"\\ud800" * (MAX_REPAIRS + 1)])
def test_the_number_of_characters_that_are_replaced_is_bounded(text: bytes) -> None:
    with pytest.raises(InvalidJson):
        load(b'"' + text + b'"')


def test_an_entry_with_a_part_of_too_many_tokens_is_not_parsed() -> None:
    bodies = (
        b'{"messages":[{"a":[' + b"0," * MAX_PART_TOKENS + b"0]}]}",
        b"{" + b'"a":0,' * MAX_PART_TOKENS + b'"b":0}',
    )
    for body in bodies:
        scanner = EntryScanner(lines=False)
        (found,) = [*scanner.feed(body), *scanner.finish()]
        assert found.problem
        assert found.problem[0] == "too_long"


def _results(body: bytes, chunk_size: int, *, lines: bool = False) -> list[Any]:
    """Return the values of the entries, and "broken" for one that is no JSON."""
    scanner, found = EntryScanner(lines=lines), []
    chunks = [body[at : at + chunk_size] for at in range(0, len(body), chunk_size)]
    for entry in [*(entry for chunk in chunks for entry in scanner.feed(chunk)), *scanner.finish()]:
        try:
            found.append("broken" if entry.problem else orjson.loads(entry.text))
        except orjson.JSONDecodeError:
            found.append("broken")
    return found


@pytest.mark.parametrize(
    ("body", "found"),
    [
        (b"", ["broken"]),
        (b"[", ["broken"]),
        (b"[]", []),
        (b"[1,2", [1, 2]),
        (b"[1,", [1, "broken"]),
        (b"[1]]", [1, "broken"]),
        (b"[1] x", [1, "broken"]),
        (b'[1] "x", [2]', [1, "broken"]),
        (b"[1,]", [1, "broken"]),
        (b"[,1]", ["broken", 1]),
        (b"{}x", ["broken"]),
        (b'["a', ["broken"]),
        (b"[{]", ["broken"]),
        (b'[{"a":],{"b":1}]', ["broken", {"b": 1}]),
        (b'[{"a"]},{"b":1}]', ["broken", {"b": 1}]),
        (b'[1,{"a":nul},2]', [1, "broken", 2]),
        (b'{"a":\\', ["broken"]),
    ],
)
@pytest.mark.parametrize("chunk_size", [1, 3, 1000])
def test_what_is_not_json_does_not_break_the_entries_beside_it(body: bytes, found: list[Any], chunk_size: int) -> None:
    assert _results(body, chunk_size) == found


@pytest.mark.parametrize("line", [b'{"a":"x', b"{", b"]", b"}}", b'"', b'{"a":"b\\', b'"a" "', b"\xff"])
@pytest.mark.parametrize("chunk_size", [1, 5, 1000])
def test_a_broken_line_does_not_break_the_lines_beside_it(line: bytes, chunk_size: int) -> None:
    body = b'{"a":"1"}\n' + line + b'\r\n{"b":[",\\"]"]}\n{"c":3}'
    assert _results(body, chunk_size, lines=True) == [{"a": "1"}, "broken", {"b": [',"]']}, {"c": 3}]


@pytest.mark.parametrize("chunk_size", [1, 2, 1000])
def test_a_byte_order_mark_is_skipped(chunk_size: int) -> None:
    bom = b"\xef\xbb\xbf"
    assert _results(bom + b"[1,2]", chunk_size) == [1, 2]
    assert _results(bom + b'{"a":1}', chunk_size) == [{"a": 1}]
    assert _results(bom + b"1\n" + bom + b"2\n", chunk_size, lines=True) == [1, 2]
