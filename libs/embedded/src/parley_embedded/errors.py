"""The one error of the embedded servers."""


class EmbeddedError(Exception):
    """Say in one line what failed and how to get on."""
