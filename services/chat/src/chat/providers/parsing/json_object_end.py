"""Finder of the end of a JSON object that arrives in parts."""

import re

_TOKEN = re.compile(r'\\.|\\\Z|["{}\[\]]', re.DOTALL)


class JsonObjectEnd:
    """Cuts off what follows the object. Text that does not begin with an object is left as it is."""

    __slots__ = ("_depth", "_escaped", "_in_string", "_is_object", "reached")

    def __init__(self) -> None:
        self.reached = False
        self._is_object: bool | None = None
        self._in_string = self._escaped = False
        self._depth = 0

    @property
    def is_open(self) -> bool:
        """Whether an object has begun and not ended."""
        return bool(self._is_object) and not self.reached

    def cut(self, part: str) -> str:
        """Return the part up to the end of the object."""
        if self._is_object is None and (begin := part.lstrip()):
            self._is_object = begin[0] == "{"
        if not self._is_object:
            return part
        if self.reached:
            return ""
        if not part:
            return part
        at, self._escaped = int(self._escaped), False
        for piece in _TOKEN.finditer(part, at):
            if self._handle(piece.group()):
                self.reached = True
                return part[: piece.end()]
        return part

    def _handle(self, piece: str) -> bool:
        """Count a bracket or quote; return whether the object ends at it."""
        if piece[0] == "\\":
            self._escaped = piece == "\\"
        elif piece == '"':
            self._in_string = not self._in_string
        elif not self._in_string:
            self._depth += 1 if piece in "{[" else -1
            return self._depth == 0
        return False
