"""Classes of characters for search, as regular expressions."""

import functools
import re
import unicodedata
from collections.abc import Iterable

SPACELESS = (
    "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u1950-\u19df\u1a20-\u1aaf"  # Thai, Lao, Burmese, Khmer, Tai
    "\ua9e0-\ua9ff\uaa60-\uaadf\U00011700-\U0001174f"  # Burmese extensions, Tai Viet, Ahom
    "\u3005-\u3007\u3040-\u3130\u31a0-\u31bf\u31f0-\u31ff"  # Japanese, Bopomofo
    "\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U000323af"  # Han
    "\ua000-\ua4cf\uac00-\ud7af"  # Yi, Hangul
    "\u2600-\u27bf\u2b50\u2b55\u231a\u231b\u23e9-\u23fa\U0001f000-\U0001faff"  # emoji
)
"""Character class of scripts that put no spaces between words, and of emoji, which are found like them."""
IGNORABLE = (
    "\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u202a-\u202e\u2060-\u206f"
    "\u3164\ufe00-\ufe0f\ufeff\uffa0\ufff0-\ufff8\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U000e0fff"
)
"""Character class of Default_Ignorable_Code_Point: soft hyphen, joiners, zero-width spaces, variation selectors."""
VOWEL_POINTS = (
    "\u0591-\u05bd\u05bf\u05c1\u05c2\u05c4\u05c5\u05c7"  # Hebrew
    "\u0610-\u061a\u0640\u064b-\u0652\u0656-\u065f\u0670\u06d6-\u06dc\u06df-\u06e4\u06e7\u06e8\u06ea-\u06ed"  # Arabic
)
"""Character class of the points and the tatweel that writers of Hebrew and Arabic mostly leave out."""
_MARK_BLOCKS = range(0x300, 0x1EA00)
"""Code points among which all combining marks are."""
_DECOMPOSED_MARKS = "\u0f73\u0f75\u0f81\uff9e\uff9f"
"""Characters that are no combining marks themselves, but consist of them."""
_JAMO = "\u1160-\u11ff\ud7b0-\ud7ff"
"""Character class of the vowels and final consonants that follow the first letter of a Hangul syllable."""


@functools.cache
def combining_marks() -> frozenset[str]:
    """Return the characters that canonical ordering sorts."""
    return frozenset(chr(code) for code in _MARK_BLOCKS if unicodedata.combining(chr(code))).union(_DECOMPOSED_MARKS)


_LETTER = rf"[^\W_{SPACELESS}]"
_ASCII_WORD = re.compile("[a-z0-9]+")
_WORD_WITHOUT_MARKS = re.compile(f"{_LETTER}+")


def word_pattern(plain: str) -> re.Pattern[str]:
    """Return the pattern of a word in this normalized text: letters and digits with their marks, as in UAX #29.

    Unlike there, punctuation ends a word, so that `homme` is found in `l'homme`. Texts without marks have a faster one.
    """
    if plain.isascii():
        return _ASCII_WORD
    return _word_with_marks() if _mark().search(plain) else _WORD_WITHOUT_MARKS


@functools.cache
def _word_with_marks() -> re.Pattern[str]:
    return re.compile(f"{_LETTER}+(?:[{_marks()}]+{_LETTER}*)*")  # nosemgrep: regex-from-data - constants


@functools.cache
def _mark() -> re.Pattern[str]:
    return re.compile(f"[{_marks()}]")  # nosemgrep: regex-from-data - constants


@functools.cache
def cluster_pattern() -> re.Pattern[str]:
    """Return the pattern of a character with those after it that may become one character with it."""
    return re.compile(f"(?s:.)[{extending_class()}]*")  # nosemgrep: regex-from-data - constants


@functools.cache
def extending_class() -> str:
    """Return the class of characters that belong to the character before them."""
    return f"{_marks()}\uff9e\uff9f{_JAMO}{IGNORABLE}"


@functools.cache
def _marks() -> str:
    """Return the class of all marks, also of those that canonical ordering leaves in place, as Indic vowels."""
    return _ranges(chr(code) for code in _MARK_BLOCKS if unicodedata.category(chr(code)).startswith("M"))


def _ranges(characters: Iterable[str]) -> str:
    """Return the content of a character class."""
    codes = sorted(map(ord, characters))
    starts = [code for before, code in zip([-2, *codes], codes, strict=False) if code != before + 1]
    ends = [code for code, after in zip(codes, [*codes[1:], -2], strict=True) if after != code + 1]
    return "".join(f"{re.escape(chr(start))}-{re.escape(chr(end))}" for start, end in zip(starts, ends, strict=True))
