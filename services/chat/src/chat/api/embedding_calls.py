"""Calls for embeddings that run at the same time in a process."""

import contextlib
from collections.abc import Iterator

from chat.generation import EmbeddingGenerators
from parley.errors import Overloaded

MAX_EMBEDDING_CALLS = 8


class EmbeddingCalls:
    """The generators of embeddings, and a limit of calls at the same time: each may hold an answer of 16 MiB."""

    def __init__(self, generators: EmbeddingGenerators) -> None:
        self.generators = generators
        self._running = 0

    @contextlib.contextmanager
    def running(self) -> Iterator[None]:
        """Count a call; raises Overloaded."""
        if self._running >= MAX_EMBEDDING_CALLS:
            raise Overloaded
        self._running += 1
        try:
            yield
        finally:
            self._running -= 1
