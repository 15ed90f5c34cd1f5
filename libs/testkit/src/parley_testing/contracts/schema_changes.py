"""Comparison of JSON Schemas: the changes that break consumers of the old schema."""

from collections.abc import Iterator
from typing import Any

Json = dict[str, Any]


def breaking_changes(old: Json, new: Json) -> list[str]:
    """Return the breaking changes of a schema; each line starts with the path of the member.

    Members may be added. Members may not be removed or become optional, and values may not get other types, formats,
    or new alternatives.
    """
    return list(_breaks(_Schema(old, old), _Schema(new, new), ""))


class _Schema:
    """A part of a schema, and the document that its references point into."""

    def __init__(self, part: Json, document: Json) -> None:
        reference = part.get("$ref", "")
        self.part: Json = document.get("$defs", {})[reference.rpartition("/")[2]] if reference else part
        self.document = document

    def child(self, part: Json) -> "_Schema":
        return _Schema(part, self.document)

    def alternatives(self) -> dict[str, "_Schema"]:
        """Return the alternatives of the value by type."""
        children = [self.child(part) for part in self.part.get("anyOf", [self.part])]
        return {str(child.part.get("type", "any")): child for child in children}


def _breaks(old: _Schema, new: _Schema, path: str) -> Iterator[str]:
    before, after = old.alternatives(), new.alternatives()
    added = after.keys() - before.keys()
    if added and "any" not in before:
        yield f"{path or '/'}: may now be {', '.join(sorted(added))}"
    for kind in sorted(before.keys() & after.keys()):
        yield from _same_type_breaks(before[kind], after[kind], path)


def _same_type_breaks(old: _Schema, new: _Schema, path: str) -> Iterator[str]:
    if "enum" in old.part or "const" in old.part:
        added = set(_values(new.part)) - set(_values(old.part))
        if added or not _values(new.part):
            yield f"{path or '/'}: new values {', '.join(sorted(map(str, added))) or 'without a list'}"
    if old.part.get("format") != new.part.get("format"):
        yield f"{path or '/'}: another format"
    required = set(new.part.get("required", ()))
    for name in old.part.get("required", ()):
        if name not in required:
            yield f"{path}/{name}: may now be missing"
    yield from _child_breaks(old, new, path)


def _child_breaks(old: _Schema, new: _Schema, path: str) -> Iterator[str]:
    for name, part in old.part.get("properties", {}).items():
        found = new.part.get("properties", {}).get(name)
        if found is not None:
            yield from _breaks(old.child(part), new.child(found), f"{path}/{name}")
    for keyword in ("items", "additionalProperties"):
        part, found = old.part.get(keyword), new.part.get(keyword)
        if isinstance(part, dict) and isinstance(found, dict):
            yield from _breaks(old.child(part), new.child(found), f"{path}/*")


def _values(part: Json) -> list[Any]:
    return [part["const"]] if "const" in part else list(part.get("enum", ()))
