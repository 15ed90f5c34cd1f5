"""Search terms of scripts that do not put spaces between words: two characters each, because that needs no dictionary.

A trigram index cannot do this: two-character words, the most common in Chinese, have no trigram.
"""

import re
import unicodedata

INDEXED = 100_000
"""Characters of a message that can be found; what comes later is stored, not indexed."""
MAX_BIGRAMS = 20_000

_SPACELESS = (
    "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff"  # Thai, Lao, Burmese, Khmer
    "\u3005-\u3007\u3040-\u30ff\u31f0-\u31ff"  # Japanese
    "\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003134f"  # Han
    "\uac00-\ud7af"  # Hangul
)
RUN = re.compile(f"[{_SPACELESS}]+")
WORD = re.compile(rf"[^\W_{_SPACELESS}]+")


def normalised(text: str) -> str:
    """Return the text as it is compared: one form of each character, without case."""
    return unicodedata.normalize("NFKC", text).casefold()


def bigrams(text: str) -> list[str]:
    """Return the index terms of the spaceless runs: each pair of neighbours, and the last character alone."""
    found: dict[str, None] = {}
    for match in RUN.finditer(normalised(text[:INDEXED])):
        run = match[0]
        for i in range(len(run)):
            found[run[i : i + 2]] = None
        if len(found) >= MAX_BIGRAMS:
            break
    return list(found)[:MAX_BIGRAMS]
