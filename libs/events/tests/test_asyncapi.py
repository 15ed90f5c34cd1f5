"""The documents of the events contract: true to the code, valid, and never a break for yesterday's consumers."""

import copy
import re
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

import orjson
import pytest

from parley_events import asyncapi
from parley_events.models import CATALOGUE, EventData, model_of

ROOT = Path(__file__).parents[3]
BASELINE = Path(__file__).with_name("events_baseline.json")
"""The schemas of the last release: replaced when one is made, never to make a test pass."""

TYPES = list(asyncapi.every_type())


def test_the_committed_documents_are_what_the_code_says() -> None:
    pages = asyncapi.pages(version("parley-common"))
    stale = [path for path, render in pages.items() if (ROOT / path).read_text(encoding="utf-8") != render()]
    assert not stale, "run make docs"
    assert {p.name for p in (ROOT / "docs/schemas").iterdir()} == {Path(p).name for p in pages} - {"asyncapi.yaml"}


@pytest.mark.parametrize(("name", "model"), TYPES)
def test_each_sample_is_exactly_an_event_of_its_type(name: str, model: type[EventData]) -> None:
    sample = asyncapi.samples()[name]
    assert model_of(name) is model
    assert orjson.loads(model.model_validate(sample).model_dump_json()) == sample


@pytest.mark.parametrize(("name", "model"), TYPES)
def test_each_schema_names_every_member_and_requires_it(name: str, model: type[EventData]) -> None:
    schema = asyncapi.schema(name, model)
    assert schema["$id"] == f"urn:parley:schema:{name}:v1"
    assert set(schema["required"]) == set(schema["properties"]) == set(asyncapi.samples()[name])
    assert "additionalProperties" not in schema


def test_every_reference_of_the_document_leads_somewhere() -> None:
    document = asyncapi.document("1.2.3")
    references = re.findall(r'"\$ref":"#/([^"]+)"', orjson.dumps(document).decode())
    assert references
    for reference in references:
        found: Any = document
        for step in reference.split("/"):
            found = found[step]
        assert found
    assert set(document["channels"]) == {name for name, _ in TYPES}


def test_the_yaml_reads_as_the_document() -> None:
    yaml = pytest.importorskip("yaml")
    document = asyncapi.document("1.2.3")
    assert yaml.safe_load(asyncapi.to_yaml(document)) == document
    odd = {"no": [], "a b": {"": None, "x": [1, {"y": [True]}, []]}, "true": "yes", "text": "a: b # c\n\u2028"}
    assert yaml.safe_load(asyncapi.to_yaml(odd)) == odd


def test_the_page_shows_a_true_example_of_every_type() -> None:
    page = (ROOT / "docs/events.md").read_text(encoding="utf-8")
    samples = asyncapi.samples()
    shown = dict(re.findall(r"^### `([\w.]+)`[^\n]*\n.*?```json\n(.*?)```", page, re.DOTALL | re.MULTILINE))
    assert set(shown) == {model.names[0] for model in CATALOGUE}
    assert all(orjson.loads(text) == samples[name] for name, text in shown.items())
    assert all(f"`{name}`" in page for name, _ in TYPES)


def test_nothing_breaks_consumers_of_the_last_release() -> None:
    baseline = orjson.loads(BASELINE.read_bytes())
    current = {schema["$id"]: schema for schema in (asyncapi.schema(name, model) for name, model in TYPES)}
    assert set(baseline) <= set(current), "a released type or version is gone"
    broken = {urn: asyncapi.breaking_changes(old, current[urn]) for urn, old in baseline.items()}
    assert not any(broken.values()), broken


class Inner(EventData):
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
def test_a_change_that_breaks_consumers_is_found(change: Callable[[dict[str, Any]], Any], expected: list[str]) -> None:
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
    assert asyncapi.breaking_changes(old, new) == expected
