"""Search queries: words, "phrases" and -exclusions, as a tsquery and for the highlighting."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from history.search.normalization import normalize
from history.search.stemming import STOP_WORDS, stem
from history.search.tokenizer import LONG, MARK, Token, find_tokens

MAX_QUERY_LENGTH = 400
"""Characters of a normalized search query. A query has up to 200, of which some become 18."""
_QUOTES = '"\u201c\u201d\u201e'
_PART = re.compile(
    rf"(?P<minus>(?<!\S)-)?(?:[{_QUOTES}](?P<phrase>[^{_QUOTES}]*)[{_QUOTES}]|(?P<text>[^\s{_QUOTES}]+))"
)


@dataclass(frozen=True, slots=True)
class QueryTerms:
    """What a query looks for: words, runs of characters without spaces, English stems, and the prefix that ends it.

    ``tsquery`` is the query for the index, ``earlier_tsquery`` the one for messages whose terms an earlier release
    made: in these, phrases are found as words in any order.
    """

    words: tuple[str, ...] = ()
    runs: tuple[str, ...] = ()
    stems: tuple[str, ...] = ()
    prefix: str | None = None
    tsquery: str = ""
    earlier_tsquery: str = ""


@dataclass
class _QueryParts:
    """The parts of a query. Each list entry is one word, run or phrase."""

    texts: list[Token] = field(default_factory=list)
    phrases: list[Sequence[Token]] = field(default_factory=list)
    excluded: list[Sequence[Token]] = field(default_factory=list)


def query_terms(query: str) -> QueryTerms:
    """Return the terms of a search query. Without anything to look for, ``tsquery`` is empty."""
    parts = _parts(normalize(query, MAX_QUERY_LENGTH))
    wanted = [*parts.texts, *(token for phrase in parts.phrases for token in phrase)]
    if not wanted:
        return QueryTerms()
    bare = [token.text for token in _without_stop_words(parts) if not token.is_run]
    return QueryTerms(
        words=tuple(token.text for token in wanted if not token.is_run),
        runs=tuple(token.text for token in wanted if token.is_run),
        stems=tuple(dict.fromkeys(stem(word) for word in bare if word.isascii() and word not in STOP_WORDS)),
        prefix=bare[-1] if bare else None,
        tsquery=" & ".join(_clauses(parts)),
        earlier_tsquery=" & ".join(_earlier_clauses(_parts(normalize(query, MAX_QUERY_LENGTH, keep_variants=True)))),
    )


def _parts(plain: str) -> _QueryParts:
    found = _QueryParts()
    for part in _PART.finditer(plain):
        is_phrase = part["phrase"] is not None
        tokens = list(find_tokens(part["phrase"] if is_phrase else part["text"]))
        if not tokens:
            continue
        if part["minus"]:
            found.excluded.append(tokens)
        elif is_phrase:
            found.phrases.append(tokens)
        else:
            found.texts += tokens
    return found


def _clauses(parts: _QueryParts) -> Iterator[str]:
    required = _without_stop_words(parts)
    words = [token for token in required if not token.is_run]
    for token in required:
        if token.is_run:
            yield _run(token.text)
        else:
            yield _word(token.text, MARK, is_prefix=token is words[-1])
    for phrase in parts.phrases:
        yield f"({_phrase(phrase)})"
    for tokens in parts.excluded:
        yield f"!({_phrase(tokens)})"


def _without_stop_words(parts: _QueryParts) -> list[Token]:
    """Return the words and runs outside of phrases that must be found: stop words only if there is nothing else."""
    found = [token for token in parts.texts if token.is_run or token.text not in STOP_WORDS]
    return found if found or parts.phrases else parts.texts


def _word(word: str, mark: str, *, is_prefix: bool) -> str:
    root, ending = stem(word), ":*" if is_prefix else ""
    exact = f"'{mark}{word}'{ending}"
    return exact if root == word else f"({exact} | '{mark}{root}')"


def _run(run: str) -> str:
    """Return the clause of a run. In a long text, whose later positions are unknown, its bigrams may be anywhere."""
    phrase = _phrase([Token(run, is_run=True)])
    if len(run) <= 2:  # noqa: PLR2004 - a bigram or a single character
        return phrase
    return f"(({phrase}) | ({' & '.join(_bigrams(run, MARK))} & '{MARK}{LONG}'))"


def _phrase(tokens: Sequence[Token]) -> str:
    """Return a query for neighbouring tokens."""
    terms: list[str] = []
    distance = 0
    for token in tokens:
        for offset, term in enumerate(_bigrams(token.text, MARK) if token.is_run else [f"'{MARK}{token.text}'"]):
            if terms:
                terms.append(f"<{distance if offset == 0 else 1}>")
            terms.append(term)
        # The position of the last bigram is that of the last character but one.
        distance = 2 if token.is_run and len(token.text) > 1 else 1
    return " ".join(terms)


def _bigrams(run: str, mark: str) -> list[str]:
    if len(run) == 1:
        return [f"'{mark}{run}':*"]
    return [f"'{mark}{run[start : start + 2]}'" for start in range(len(run) - 1)]


def _earlier_clauses(parts: _QueryParts) -> Iterator[str]:
    required = _without_stop_words(parts)
    words = [token for token in required if not token.is_run]
    for token in [*required, *(token for phrase in parts.phrases for token in phrase)]:
        if token.is_run:
            yield " & ".join(_bigrams(token.text, ""))
        else:
            yield _word(token.text, "", is_prefix=bool(words) and token is words[-1])
    for tokens in parts.excluded:
        terms = [
            term for token in tokens for term in (_bigrams(token.text, "") if token.is_run else [f"'{token.text}'"])
        ]
        yield f"!({' & '.join(terms)})"
