"""Tokenizer of messages and search queries, and the terms of a message.

Scripts that put spaces between words are indexed by word. Scripts that do not, and emoji, are indexed by bigram, a pair
of neighbouring characters, because bigrams need no dictionary. A trigram index does not work here: the most common
Chinese words have two characters.
"""

import re
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from history.search.characters import SPACELESS, word_pattern
from history.search.normalization import normalize
from history.search.stemming import stem

INDEX_VERSION = 3
"""Version of the terms. A new one makes the stored messages be indexed again."""
MAX_INDEXED_LENGTH = 50_000
"""Characters of a message that are indexed. The rest is stored but cannot be found."""
MAX_BIGRAMS = 10_000
MAX_WORD_LENGTH = 500
"""Characters of a word that are indexed and compared."""
MARK = "~"
"""First character of each term. The database puts the number of the message's segment there."""
MAX_POSITION = 16_383
MAX_POSITIONS = 256
"""What a tsvector holds: the last position of a word, and positions of the same word."""
LONG = "_"
"""Term of a message that has more positions. It is no word, so that no text has it."""

RUN = re.compile(f"[{SPACELESS}]+")


class Token(NamedTuple):
    """A word, or a run of characters without spaces."""

    text: str
    is_run: bool


def find_tokens(plain: str) -> Iterator[Token]:
    """Yield the words and runs of normalized text in their order. Words are cut to ``MAX_WORD_LENGTH``."""
    words = word_pattern(plain).finditer(plain)
    if plain.isascii():
        for word in words:
            yield Token(word[0][:MAX_WORD_LENGTH], is_run=False)
        return
    found = [(word.start(), Token(word[0][:MAX_WORD_LENGTH], is_run=False)) for word in words]
    found += [(run.start(), Token(run[0], is_run=True)) for run in RUN.finditer(plain)]
    for _, token in sorted(found):
        yield token


def index_terms(text: str) -> str:
    """Return the terms of a message with their positions, as the database function ``index_messages`` takes them.

    Terms are words, English stems, the bigrams of each run, and the last character of each run. Takes milliseconds for
    a long text: run it in a worker thread.
    """
    plain = normalize(text, MAX_INDEXED_LENGTH)
    found = _TermPositions()
    if plain.isascii():
        words = word_pattern(plain).findall(plain)
        if len(words) <= MAX_POSITIONS and len(max(words, key=len, default="")) <= MAX_WORD_LENGTH:
            return _terms_of_words(words)
        for word in words:
            found.add_word(word[:MAX_WORD_LENGTH])
    else:
        for token in find_tokens(plain):
            if token.is_run:
                found.add_run(token.text)
            else:
                found.add_word(token.text)
    return str(found)


_POSITION_TEXTS = [str(position) for position in range(1, MAX_POSITIONS + 1)]


def _terms_of_words(words: Sequence[str]) -> str:
    """Return the terms of so few words that no limit applies: most messages are short and in ASCII."""
    positions: dict[str, str] = {}
    for word, position in zip(words, _POSITION_TEXTS, strict=False):
        positions[word] = f"{positions[word]},{position}" if word in positions else position
    found = positions.copy()
    for word, of_word in positions.items():
        if (root := stem(word)) != word:
            found[root] = f"{found[root]},{of_word}" if root in found else of_word
    return " ".join([f"'{MARK}{term}':{of_term}" for term, of_term in found.items()])


class _TermPositions:
    """The terms of a message with their positions."""

    def __init__(self) -> None:
        self._found: dict[str, list[int]] = {}
        self._position, self._bigrams = 0, 0

    def add_word(self, word: str) -> None:
        self._position += 1
        self._found.setdefault(word, []).append(self._position)
        if (root := stem(word)) != word:
            self._found.setdefault(root, []).append(self._position)

    def add_run(self, run: str) -> None:
        for start in range(len(run)):
            self._position += 1
            bigram = run[start : start + 2]
            positions = self._found.get(bigram)
            if positions is not None:
                positions.append(self._position)
            elif self._bigrams < MAX_BIGRAMS:
                self._bigrams += 1
                self._found[bigram] = [self._position]

    def __str__(self) -> str:
        """Return the text of a tsvector."""
        if self._position > MAX_POSITION or max(map(len, self._found.values()), default=0) > MAX_POSITIONS:
            for term, positions in self._found.items():
                self._found[term] = [min(position, MAX_POSITION) for position in positions[:MAX_POSITIONS]]
            self._found[LONG] = [1]
        return " ".join([f"'{MARK}{term}':{_joined(positions)}" for term, positions in self._found.items()])


def _joined(positions: list[int]) -> str:
    return str(positions[0]) if len(positions) == 1 else ",".join(map(str, positions))
