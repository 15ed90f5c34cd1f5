"""Limit on open files (``RLIMIT_NOFILE``) of this process: raised at start, and shared out between sockets."""

import contextlib
import resource

MAX_DESCRIPTORS = 1_048_576
"""Most descriptors to ask for. Some child processes need memory in proportion to the limit."""
MAX_BACKLOG, MIN_BACKLOG = 2048, 64


def raise_descriptor_limit() -> int:
    """Raise the soft limit to the hard limit, and return it."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = MAX_DESCRIPTORS if hard == resource.RLIM_INFINITY else min(hard, MAX_DESCRIPTORS)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        with contextlib.suppress(ValueError, OSError):  # a system can have a lower limit of its own
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
    return descriptor_limit()


def descriptor_limit() -> int:
    """Return the number of descriptors that this process may have."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return MAX_DESCRIPTORS if soft == resource.RLIM_INFINITY else soft


def accept_backlog() -> int:
    """Return the number of connections that may wait to be accepted: all of them are accepted at once."""
    return min(MAX_BACKLOG, max(MIN_BACKLOG, descriptor_limit() // 32))
