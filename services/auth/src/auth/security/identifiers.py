"""User names and e-mail addresses: how they are stored, and what makes two of them the same.

Names follow the spirit of RFC 8265: NFKC, compared without case, letters of any language, no mix of the alphabets whose
letters look alike, so that nobody can register a name that only looks like another's.
"""

import re
import unicodedata

import idna

from parley.web.problems import FieldValueError

MAX_USERNAME = 64
MAX_EMAIL = 254
MAX_LOCAL = 64
_ALLOWED_PUNCTUATION = frozenset("._-")
_LOOK_ALIKE = ("LATIN", "CYRILLIC", "GREEK", "CHEROKEE", "ARMENIAN")
_LOCAL = re.compile(r"^[^\s\"(),:;<>@\[\\\]\x00-\x20\x7f]+$")


def username(text: str) -> str:
    """Return a user name as it is shown; raises FieldValueError."""
    name = unicodedata.normalize("NFKC", text).strip()
    if not name:
        raise FieldValueError("blank", "Must not be blank.")
    if len(name) > MAX_USERNAME:
        raise FieldValueError("too_long", f"At most {MAX_USERNAME} characters.")
    if not all(_allowed(character) for character in name) or name[0] in _ALLOWED_PUNCTUATION:
        raise FieldValueError(
            "invalid_format", "Letters, digits, dots, hyphens and underscores; must begin with a letter or digit."
        )
    if len(_alphabets(name)) > 1:
        raise FieldValueError("invalid_format", "Must not mix alphabets whose letters look alike.")
    return name


def email(text: str) -> str:
    """Return an e-mail address as it is shown; raises FieldValueError."""
    address = unicodedata.normalize("NFKC", text).strip()
    local, _, domain = address.rpartition("@")
    if len(address) > MAX_EMAIL or len(local) > MAX_LOCAL:
        raise FieldValueError("too_long", f"At most {MAX_EMAIL} characters.")
    if not _LOCAL.fullmatch(local) or local.startswith(".") or local.endswith(".") or ".." in local:
        raise FieldValueError("invalid_format", "Must be an e-mail address.")
    return f"{local}@{_domain(domain)}"


def key(text: str) -> str:
    """Return what two spellings of the same name or address have in common."""
    folded = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", text).strip().casefold())
    local, at, domain = folded.rpartition("@")
    if not at:
        return folded
    try:
        return f"{local}@{_domain(domain)}"
    except FieldValueError:
        return folded


def _domain(domain: str) -> str:
    if "." not in domain:
        raise FieldValueError("invalid_format", "Must be an e-mail address.")
    try:
        return idna.encode(domain, uts46=True).decode()
    except (idna.IDNAError, UnicodeError):
        raise FieldValueError("invalid_format", "Must be an e-mail address.") from None


def _allowed(character: str) -> bool:
    return character in _ALLOWED_PUNCTUATION or unicodedata.category(character)[0] in {"L", "M", "N"}


def _alphabets(name: str) -> set[str]:
    words = {unicodedata.name(character, "").partition(" ")[0] for character in name if character.isalpha()}
    return words & set(_LOOK_ALIKE)
