"""Route of a request by its method and path."""

import re
from collections.abc import Iterable, Iterator
from urllib.parse import unquote_to_bytes

from gateway.openai_endpoints import NOT_OFFERED_PATHS
from gateway.path_hints import path_hint
from gateway.routes import Route
from parley import errors
from parley.web.middleware import UNMATCHED_ROUTE

_SEGMENT = re.compile(r"[A-Za-z0-9_~-][A-Za-z0-9._~:-]*\Z")
"""An id in a path. No character may be decoded or normalised into another path."""
_NAME = re.compile(r"(?:[A-Za-z0-9._~!$&'()*+,=:@/-]|%[0-9A-Fa-f]{2})+\Z")
"""A name as it stands in a path: RFC 3986's characters of path segments without ``;``, and slashes."""


class RouteTable:
    """Finds the route of a request: exact paths in a dictionary, templates segment by segment."""

    def __init__(self, routes: Iterable[Route]) -> None:
        """Raise ValueError when two routes have the same method and template."""
        self.routes = tuple(routes)
        self._methods = {method for each in self.routes for method in each.methods}
        self._exact: dict[tuple[str, str], Route] = {}
        self._patterns: dict[tuple[str, int], list[tuple[list[str], Route]]] = {}
        self._named: list[tuple[str, Route]] = []
        for each in self.routes:
            if each.named:
                self._named.append((each.template.rpartition("{")[0], each))
            for method in each.methods:
                if (method, each.template) in self._exact:
                    raise ValueError(f"{method} {each.template} is defined twice")
                self._exact[method, each.template] = each
                if "{" in each.template and not each.named:
                    segments = each.template.split("/")
                    self._patterns.setdefault((method, len(segments)), []).append((segments, each))

    def find(self, method: str, path: str) -> Route:
        """Return the route. Raise NotFound, or MethodNotAllowed with the allowed methods."""
        found = self._find(method, path)
        if found is not None:
            return found
        allowed = self.allowed_methods(path)
        if allowed and path not in NOT_OFFERED_PATHS:
            raise errors.MethodNotAllowed(headers={"Allow": ", ".join(allowed)})
        raise errors.NotFound(path_hint(path))

    def allowed_methods(self, path: str) -> list[str]:
        """Return the methods of a path, with OPTIONS. Empty if there is no route. ``*`` stands for all paths."""
        found = [method for method in self._methods if path == "*" or self._find(method, path)]
        return sorted([*found, "OPTIONS"]) if found else []

    def _find(self, method: str, path: str) -> Route | None:
        exact = self._exact.get((method, path))
        if exact is not None:
            return None if "{" in path else exact
        segments = path.split("/")
        for pattern, found in self._patterns.get((method, len(segments)), ()):
            if all(map(_fits, pattern, segments)):
                return found
        for prefix, found in self._named:
            if method in found.methods and path.startswith(prefix) and is_name(path[len(prefix) :]):
                return found
        return None

    def templates(self) -> Iterator[str]:
        """Return the route labels of the metrics."""
        yield from dict.fromkeys(each.template for each in self.routes)
        yield UNMATCHED_ROUTE


def _fits(pattern: str, segment: str) -> bool:
    return pattern == segment or (pattern.startswith("{") and _SEGMENT.match(segment) is not None)


def is_name(text: str) -> bool:
    """Return whether the end of a path is a name such as ``meta-llama/Llama-3-8B``, with ``/`` as it is or as ``%2F``.

    The service decodes it once, as this function does. The result has no character that a second reader could take for
    another path: no control character, percent sign or backslash, and no segment that is empty, ``.`` or ``..``.
    """
    if not _NAME.match(text):
        return False
    try:
        name = unquote_to_bytes(text).decode()
    except UnicodeDecodeError:
        return False
    return (
        name.isprintable()
        and not {"%", "\\"} & set(name)
        and not {"", ".", ".."} & {segment.strip() for segment in name.split("/")}
    )
