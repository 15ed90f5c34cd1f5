"""Checks of events in structured JSON."""

import json
from collections.abc import Iterator
from typing import Any

from parley_events import MalformedEvent, Rejected, decode, model_of
from parley_events.cloudevents import from_headers


def findings(text: str) -> list[str]:
    """Return what is wrong with the events of a text: one event, an array, or one event a line."""
    events = list(_events(text))
    if not events:
        return ["There is no event."]
    return [f"event {number}: {problem}" for number, event in events if (problem := _problem(event))]


def _events(text: str) -> Iterator[tuple[int, Any]]:
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        lines = [line for line in text.splitlines() if line.strip()]
        yield from enumerate((_line(line) for line in lines), 1)
        return
    yield from enumerate(found if isinstance(found, list) else [found], 1)


def _line(line: str) -> Any:
    try:
        return json.loads(line)
    except ValueError as error:
        return error
    except RecursionError:
        return ValueError("it has too many levels")


def _problem(event: Any) -> str:
    if not isinstance(event, dict):
        return f"not a JSON object: {event}" if isinstance(event, ValueError) else "not a JSON object"
    headers = {f"ce-{name}": value for name, value in event.items() if name != "data"}
    try:
        parsed = from_headers(headers, json.dumps(event.get("data")).encode())
        if model_of(parsed.name, parsed.version) is None:
            return f"unknown type {parsed.type}"
        decode(parsed)
    except MalformedEvent as error:
        return f"not a CloudEvent of Parley: {error}"
    except Rejected as error:
        return f"{error} {_detail(error)}"
    return ""


def _detail(error: Rejected) -> str:
    return " ".join(str(error.__cause__).splitlines()[1:3]).strip()
