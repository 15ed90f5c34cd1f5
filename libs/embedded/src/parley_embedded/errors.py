"""Error of the embedded servers."""


class EmbeddedError(Exception):
    """A server cannot run. The message is one line: what happened, and what to do."""
