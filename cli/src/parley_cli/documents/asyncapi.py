"""docs/asyncapi.yaml and the JSON Schemas of the events."""

from collections.abc import Callable, Mapping
from importlib.metadata import version

from parley_events.asyncapi import pages

PAGES: Mapping[str, Callable[[], str]] = pages(version("parley-common"))
