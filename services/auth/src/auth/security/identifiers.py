"""User names and e-mail addresses: validation, stored form, and the key that makes two spellings equal.

User names follow RFC 8265: NFKC, compared without case, letters of any language. Alphabets whose letters look alike
cannot be mixed, and no letter is invisible, so that it is hard to imitate another user name.
"""

import re
import unicodedata

import idna
from email_validator import SPECIAL_USE_DOMAIN_NAMES, EmailSyntaxError, validate_email

from parley.web.validation import FieldValueError

MAX_LOGIN_LENGTH = 254
"""Maximum length of a user name or e-mail address at a login, in characters; checked before it is normalised."""
MAX_TYPED_LENGTH = 512
"""Maximum length of a new user name or e-mail address as typed, in characters; checked before it is normalised.

Normalisation takes time that grows with the square of a run of combining marks: 150,000 of them take a minute.
"""
MAX_USERNAME_LENGTH = 64
MAX_EMAIL_LENGTH = 254
MAX_EMAIL_LOCAL_LENGTH = 64
ENCODED_WORD = "=?"
"""The beginning of an encoded word (RFC 2047). Mail programs decode one before the @: it names another address."""
MAX_MARKS = 4
"""Combining marks in a row in a user name (Unicode UTS 39)."""
_ALLOWED_PUNCTUATION = frozenset("._-")
# Letters and marks that Unicode calls "default ignorable": RFC 8264 refuses them in identifiers.
_INVISIBLE = re.compile("[\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u3164\ufe00-\ufe0f\uffa0\U000e0100-\U000e01ef]")
_TOO_MANY_MARKS = re.compile(f"M{{{MAX_MARKS + 1}}}")
_CONFUSABLE_ALPHABETS = ("LATIN", "CYRILLIC", "GREEK", "CHEROKEE", "ARMENIAN")

# email-validator refuses these by default, but a self-hosted server may use addresses of a domain such as corp.local.
SPECIAL_USE_DOMAIN_NAMES.clear()


def username(text: str) -> str:
    """Return a user name in its stored form; raises FieldValueError."""
    _check_typed_length(text, MAX_USERNAME_LENGTH)
    name = unicodedata.normalize("NFKC", text).strip()
    if not name:
        raise FieldValueError("blank", "Must not be blank.")
    if len(name) > MAX_USERNAME_LENGTH:
        raise FieldValueError("too_long", f"At most {MAX_USERNAME_LENGTH} characters.")
    if not all(_is_allowed(character) for character in name) or name[0] in _ALLOWED_PUNCTUATION:
        raise FieldValueError(
            "invalid_format",
            "Must contain only letters, digits, dots, hyphens and underscores, and begin with a letter or digit.",
        )
    if _INVISIBLE.search(name) or _TOO_MANY_MARKS.search(_shape(name)):
        raise FieldValueError(
            "invalid_format", f"Must not contain invisible letters, or more than {MAX_MARKS} accents in a row."
        )
    if len(_confusable_alphabets(name)) > 1:
        raise FieldValueError("invalid_format", "Must not mix alphabets whose letters look alike.")
    return name


def email(text: str) -> str:
    """Return an e-mail address in its stored form, with the domain in ASCII; raises FieldValueError."""
    _check_typed_length(text, MAX_EMAIL_LENGTH)
    address = unicodedata.normalize("NFKC", text).strip()
    local, _, domain = address.rpartition("@")
    if len(address) > MAX_EMAIL_LENGTH:
        raise FieldValueError("too_long", f"At most {MAX_EMAIL_LENGTH} characters.")
    if len(local) > MAX_EMAIL_LOCAL_LENGTH:
        raise FieldValueError("too_long", f"At most {MAX_EMAIL_LOCAL_LENGTH} characters before the @.")
    if _INVISIBLE.search(address) or ENCODED_WORD in local:
        raise FieldValueError("invalid_format", "Must be an e-mail address.")
    try:
        validate_email(address, check_deliverability=False)
    except EmailSyntaxError:
        raise FieldValueError("invalid_format", "Must be an e-mail address.") from None
    return f"{local}@{_ascii_domain(domain)}"


def key(text: str) -> str:
    """Return the lookup key, which is equal for all spellings of a user name or e-mail address.

    A text longer than ``MAX_TYPED_LENGTH`` is returned unchanged: no account has it.
    """
    if len(text) > MAX_TYPED_LENGTH:
        return text
    folded = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", text).strip().casefold())
    local, at, domain = folded.rpartition("@")
    if not at:
        return folded
    try:
        return f"{local}@{_ascii_domain(domain)}"
    except FieldValueError:
        return folded


def _check_typed_length(text: str, allowed: int) -> None:
    if len(text) > MAX_TYPED_LENGTH:
        raise FieldValueError("too_long", f"At most {allowed} characters.")


def _ascii_domain(domain: str) -> str:
    if "." not in domain:
        raise FieldValueError("invalid_format", "Must be an e-mail address.")
    try:
        return idna.encode(domain, uts46=True).decode()
    except (idna.IDNAError, UnicodeError):
        raise FieldValueError("invalid_format", "Must be an e-mail address.") from None


def _is_allowed(character: str) -> bool:
    return character in _ALLOWED_PUNCTUATION or unicodedata.category(character)[0] in {"L", "M", "N"}


def _shape(name: str) -> str:
    """Return the class of each character: M for a combining mark."""
    return "".join(unicodedata.category(character)[0] for character in name)


def _confusable_alphabets(name: str) -> set[str]:
    words = {unicodedata.name(character, "").partition(" ")[0] for character in name if character.isalpha()}
    return words & set(_CONFUSABLE_ALPHABETS)
