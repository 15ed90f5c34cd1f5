"""The user for whom a task works, so that users get shares of what they all need."""

from contextvars import ContextVar

_user: ContextVar[str | None] = ContextVar("user of a task", default=None)


def work_for(user: str | None) -> None:
    """Set the user of this task, and of the tasks that it starts from now on. None: the service itself."""
    _user.set(user)


def current_user() -> str | None:
    """Return the user of this task."""
    return _user.get()
