"""What a password must be, after NIST SP 800-63B: long and not common; nothing else is asked.

Passwords are put into NFKC before they are counted, compared or hashed, so that the same keys typed on another system
give the same password. Nothing is cut off, and spaces count like any character.
"""

import string
import unicodedata
from collections.abc import Iterable
from functools import cache
from importlib.resources import files

from auth.errors import PasswordTooWeak

MAX_LENGTH = 1024
MAX_UNIT = 4
"""A password that only repeats up to so many characters is as weak as those."""
MAX_DECORATION = 6
"""A common password stays common with up to so many digits and signs around it."""
_ROWS = (
    string.digits * 12,
    string.ascii_lowercase * 4,
    "qwertyuiop" * 8,
    "qwertyuiopasdfghjklzxcvbnm",
    "1234567890" * 8,
)


def normalise(password: str) -> str:
    """Return the form in which a password is counted, compared and hashed."""
    return unicodedata.normalize("NFKC", password)


class PasswordPolicy:
    """Refuses passwords that are short, common, or made of the account's own name."""

    def __init__(self, min_length: int, common: frozenset[str]) -> None:
        """Take the least number of characters and the common passwords, case-folded."""
        self._min_length, self._common = min_length, common

    def check(self, password: str, *, about: Iterable[str] = (), pointer: str = "/password") -> None:
        """Raise PasswordTooWeak with the reason; ``about`` is what the account is called."""
        found = normalise(password)
        if len(found) < self._min_length:
            reason = f"At least {self._min_length} characters."
            raise PasswordTooWeak(reason, pointer=pointer, code="too_short")
        folded = found.casefold()
        if self._is_common(folded):
            raise PasswordTooWeak("This password is on the list of common ones.", pointer=pointer, code="too_common")
        if folded in {normalise(name).casefold() for name in about if name}:
            reason = "This password is the name of the account."
            raise PasswordTooWeak(reason, pointer=pointer, code="too_common")

    def _is_common(self, folded: str) -> bool:
        if folded in self._common or _repeats(folded) or _is_run(folded):
            return True
        base = folded.strip(string.digits + string.punctuation + " ")
        return bool(base) and len(folded) - len(base) <= MAX_DECORATION and base in self._common


def _repeats(text: str) -> bool:
    """Say whether a text is a short unit again and again (``abcabcabcabc``)."""
    period = (text + text).find(text, 1)
    return period <= MAX_UNIT


def _is_run(text: str) -> bool:
    """Say whether a text is a piece of an alphabet or of a row of keys, in either direction."""
    return any(text in row or text[::-1] in row for row in _ROWS)


@cache
def common_passwords() -> frozenset[str]:
    """Return the bundled list of common passwords."""
    text = files("auth.security").joinpath("common_passwords.txt").read_text(encoding="utf-8")
    return frozenset(line.casefold() for line in text.splitlines() if line and not line.startswith("# "))
