"""Failures of a start, described in one line for the operator."""


class StartError(Exception):
    """A service cannot start, and waiting does not help: a person has to mend something."""


def describe(error: BaseException) -> str:
    """Return the class and the message of an error in one line; never empty, though a TimeoutError has no message."""
    message = " ".join(str(error).split())
    return f"{type(error).__name__}: {message}" if message else type(error).__name__
