"""Comparison of JSON Schemas: which changes count as breaking."""

import copy
from collections.abc import Callable
from typing import Any

import pytest
from pydantic import BaseModel

from parley_testing.contracts.schema_changes import breaking_changes


class Inner(BaseModel):
    colour: str


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (lambda s: s["properties"].update(new={"type": "string"}), []),
        (lambda s: s["properties"].pop("count") and s["required"].remove("count"), ["/count: may now be missing"]),
        (lambda s: s["required"].remove("count"), ["/count: may now be missing"]),
        (lambda s: s["properties"].update(count={"type": "string"}), ["/count: may now be string"]),
        (
            lambda s: s["properties"].update(count={"anyOf": [{"type": "integer"}, {"type": "null"}]}),
            ["/count: may now be null"],
        ),
        (lambda s: s["properties"].update(maybe={"type": "string"}), []),
        (lambda s: s["properties"]["kind"]["enum"].append("c"), ["/kind: new values c"]),
        (lambda s: s["properties"]["kind"]["enum"].remove("b"), []),
        (lambda s: s["properties"]["kind"].pop("enum"), ["/kind: new values without a list"]),
        (lambda s: s["properties"]["at"].pop("format"), ["/at: another format"]),
        (lambda s: s["properties"]["many"]["items"].update(type="integer"), ["/many/*: may now be integer"]),
        (lambda s: s["$defs"]["Inner"]["required"].clear(), ["/inner/colour: may now be missing"]),
    ],
)
def test_a_breaking_change_is_found(change: Callable[[dict[str, Any]], Any], expected: list[str]) -> None:
    old: dict[str, Any] = {
        "type": "object",
        "properties": {
            "count": {"type": "integer"},
            "maybe": {"anyOf": [{"type": "string"}, {"type": "null"}]},
            "kind": {"type": "string", "enum": ["a", "b"]},
            "at": {"type": "string", "format": "date-time"},
            "many": {"type": "array", "items": {"type": "string"}},
            "inner": {"$ref": "#/$defs/Inner"},
        },
        "required": ["count", "maybe", "kind", "at", "many", "inner"],
        "$defs": {"Inner": Inner.model_json_schema()},
    }
    new = copy.deepcopy(old)
    change(new)
    assert breaking_changes(old, new) == expected
