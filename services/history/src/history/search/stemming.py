"""Stems of English words, as the Snowball algorithm finds them, and the words that a query need not contain."""

import functools

import Stemmer

MAX_CACHED = 20_000
"""Words whose stems are kept in memory."""
_STOP_WORDS_TEXT = """
i me my myself we our ours ourselves you your yours yourself yourselves he him his himself she her hers herself
it its itself they them their theirs themselves what which who whom this that these those am is are was were be
been being have has had having do does did doing a an the and but if or because as until while of at by for with
about against between into through during before after above below to from up down in out on off over under
again further then once here there when where why how all any both each few more most other some such no nor not
only own same so than too very s t can will just don should now
"""
STOP_WORDS = frozenset(_STOP_WORDS_TEXT.split())
"""English words that are so frequent that they tell little: a message without them matches a query of more words."""
_snowball = Stemmer.Stemmer("english", 0)


@functools.lru_cache(MAX_CACHED)
def stem(word: str) -> str:
    """Return the stem of a word in ASCII, another word as it is."""
    return str(_snowball.stemWord(word)) if word.isascii() else word
