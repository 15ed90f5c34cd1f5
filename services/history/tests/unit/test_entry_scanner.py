"""Cutting import files into entries."""

from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from history.transfer.entry_scanner import EntryScanner
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


@pytest.mark.parametrize(
    "body", [b"", b"[", b"[1,2", b"[1]]", b"[1] x", b'[1] "x"', b"[1,]", b"[,1]", b"{}x", b'["a', b"[{]", b'{"a":\\']
)
def test_a_file_that_is_not_json_is_refused(body: bytes) -> None:
    with pytest.raises((InvalidJson, orjson.JSONDecodeError)):
        _entries(body, 1)
