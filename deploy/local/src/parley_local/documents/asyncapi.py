"""docs/asyncapi.yaml and the JSON Schemas of the events."""

from collections.abc import Callable, Mapping

PAGES: Mapping[str, Callable[[], str]] = {}
