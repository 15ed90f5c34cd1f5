"""Kubernetes objects as data: types of the fixtures that render them, and look-ups by kind and name."""

from collections.abc import Callable
from typing import Any, TypeAlias

Object: TypeAlias = dict[str, Any]
Render: TypeAlias = Callable[[str], list[Object]]
"""Returns the objects of a kustomization below deploy/k8s, or of a rendering of the chart, by name."""
Combine: TypeAlias = Callable[..., list[Object]]
"""Renders the base with components, given by their names; keyword arguments extend the overlay."""
Validate: TypeAlias = Callable[[list[Object]], None]
"""Checks objects against the schemas of the API."""


def of_kind(objects: list[Object], kind: str) -> list[Object]:
    """Return the objects of a kind."""
    return [each for each in objects if each["kind"] == kind]


def one(objects: list[Object], kind: str, name: str) -> Object:
    """Return the object of a kind and name."""
    (found,) = [each for each in of_kind(objects, kind) if each["metadata"]["name"] == name]
    return found


def names(objects: list[Object], kind: str) -> set[str]:
    """Return the names of the objects of a kind."""
    return {each["metadata"]["name"] for each in of_kind(objects, kind)}
