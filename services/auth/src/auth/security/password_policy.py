"""Password policy after NIST SP 800-63B: a minimum length and a list of common passwords, no other rules.

Passwords are normalised to NFKC before they are counted, compared or hashed, so that the same keys on another system
give the same password. Passwords are never truncated, and spaces count as characters.
"""

import string
import unicodedata
from collections.abc import Iterable
from functools import cache
from importlib.resources import files

from auth.errors import PasswordTooWeak

MAX_LENGTH = 1024
"""Maximum length of a password in characters; checked before it is normalised or hashed."""
MAX_REPEATED_UNIT = 4
"""A password that only repeats a unit of up to this many characters counts as common."""
MAX_DECORATION = 6
"""A common password stays common with up to this many digits and punctuation characters around it."""
_KEY_SEQUENCES = (
    string.digits * 12,
    string.ascii_lowercase * 4,
    "qwertyuiop" * 8,
    "qwertyuiopasdfghjklzxcvbnm",
    "1234567890" * 8,
)


def normalise(password: str) -> str:
    """Return the NFKC form of a password; raises ValueError if it is longer than ``MAX_LENGTH``.

    The time of normalisation grows with the square of a run of combining marks.
    """
    if len(password) > MAX_LENGTH:
        raise ValueError("The password is too long.")
    return unicodedata.normalize("NFKC", password)


class PasswordPolicy:
    """Refuses passwords that are too short, common (case-folded list), or the name of the account."""

    def __init__(self, min_length: int, common: frozenset[str]) -> None:
        self._min_length, self._common = min_length, common

    def check(self, password: str, *, names: Iterable[str] = (), pointer: str = "/password") -> None:
        """Raise PasswordTooWeak with the reason; ``names`` are the names of the account."""
        if len(password) > MAX_LENGTH:
            reason = f"The password must have at most {MAX_LENGTH} characters."
            raise PasswordTooWeak(reason, pointer=pointer, code="too_long")
        found = normalise(password)
        if len(found) < self._min_length:
            reason = f"The password must have at least {self._min_length} characters."
            raise PasswordTooWeak(reason, pointer=pointer, code="too_short")
        folded = found.casefold()
        if self._is_common(folded):
            raise PasswordTooWeak(
                "The password is on the list of common passwords.", pointer=pointer, code="too_common"
            )
        if folded in {normalise(name).casefold() for name in names if name}:
            reason = "The password is the name of the account."
            raise PasswordTooWeak(reason, pointer=pointer, code="too_common")

    def _is_common(self, folded: str) -> bool:
        if folded in self._common or _repeats(folded) or _is_sequence(folded):
            return True
        base = folded.strip(string.digits + string.punctuation + " ")
        return bool(base) and len(folded) - len(base) <= MAX_DECORATION and base in self._common


def _repeats(text: str) -> bool:
    """Return whether a text repeats a short unit (``abcabcabcabc``)."""
    period = (text + text).find(text, 1)
    return period <= MAX_REPEATED_UNIT


def _is_sequence(text: str) -> bool:
    """Return whether a text is a sequence of an alphabet or of a keyboard row, in either direction."""
    return any(text in row or text[::-1] in row for row in _KEY_SEQUENCES)


@cache
def common_passwords() -> frozenset[str]:
    """Return the bundled list of common passwords."""
    text = files("auth.security").joinpath("common_passwords.txt").read_text(encoding="utf-8")
    return frozenset(line.casefold() for line in text.splitlines() if line and not line.startswith("# "))
