"""AsyncAPI document and JSON Schemas of the events: ``docs/asyncapi.yaml`` and ``docs/schemas``."""

import json
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Any

import yaml

from parley import __version__
from parley_events.asyncapi import document, event_types, schema
from parley_events.models import EventData

LINE_WIDTH = 120


def to_yaml(value: dict[str, Any]) -> str:
    """Return an object as block-style YAML without anchors, in the order of its members."""
    return yaml.dump(value, Dumper=_PlainDumper, sort_keys=False, allow_unicode=True, width=LINE_WIDTH)


class _PlainDumper(yaml.SafeDumper):
    def ignore_aliases(self, _data: Any) -> bool:
        """Return True: shared objects are repeated instead of referenced by anchors."""
        return True


def yaml_document() -> str:
    """Render the AsyncAPI document."""
    return to_yaml(document(__version__))


def _schema(name: str, model: type[EventData]) -> str:
    return json.dumps(schema(name, model), indent=2, ensure_ascii=False) + "\n"


def _pages() -> Iterator[tuple[str, Callable[[], str]]]:
    yield "docs/asyncapi.yaml", yaml_document
    for name, model in event_types():
        yield f"docs/schemas/{name}.v{model.schema_version}.json", partial(_schema, name, model)


PAGES: Mapping[str, Callable[[], str]] = dict(_pages())
