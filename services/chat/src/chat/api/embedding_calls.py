"""Calls for embeddings that run at the same time in a process."""

from contextlib import AbstractContextManager
from uuid import UUID

from chat.generation import EmbeddingGenerators
from parley.process.client_slots import ClientSlots

MAX_EMBEDDING_CALLS, MAX_EMBEDDING_CALLS_OF_USER = 8, 4
TOO_MANY_CALLS = f"Too many calls for embeddings run. At most {MAX_EMBEDDING_CALLS_OF_USER} of a user run at once."


class EmbeddingCalls:
    """The generators of embeddings, and a limit of calls at the same time: each may hold an answer of 16 MiB."""

    def __init__(self, generators: EmbeddingGenerators) -> None:
        self.generators = generators
        self._slots = ClientSlots(MAX_EMBEDDING_CALLS, MAX_EMBEDDING_CALLS_OF_USER, TOO_MANY_CALLS)

    def running(self, user_id: UUID) -> AbstractContextManager[None]:
        """Count a call of a user while the context is open; raises Overloaded."""
        return self._slots.take(user_id)
