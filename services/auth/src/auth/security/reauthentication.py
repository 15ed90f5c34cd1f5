"""Requirement of a recent log-in, so that a stolen access token does not become a permanent credential."""

from parley.errors import ReauthenticationRequired
from parley.security.identity import Principal

MAX_LOGIN_AGE = 300
"""Maximum seconds since the log-in for requests that change a credential or erase the account."""
CLOCK_LEEWAY = 5


def require_recent_login(principal: Principal, now: float) -> None:
    """Raise ReauthenticationRequired unless the caller has given the password within ``MAX_LOGIN_AGE`` seconds.

    ``now`` is in seconds since the epoch. A token of an API key has no log-in. A refresh does not count as one.
    """
    if principal.auth_time is None or now - principal.auth_time > MAX_LOGIN_AGE + CLOCK_LEEWAY:
        raise ReauthenticationRequired
