"""Text for benchmarks of history: English and Chinese whose words are as frequent as in real texts (Zipf's law)."""

import itertools
import random
from collections.abc import Iterable

_ENGLISH_TEXT = (
    "the of and a to in is you that it he was for on are as with his they I at be this have from or one had by word "
    "but not what all were we when your can said there use an each which she do how their if will up other about out "
    "many then them these so some her would make like him into time has look two more write go see number no way "
    "could people my than first water been call who now find long down day did get come made may part system program "
    "problem process provide project progress product probably property protect proof model data question answer "
    "learning machine language message server error function value list table memory network request response user "
    "file code test result example change order point state place group case week company right study book idea"
)
ENGLISH = _ENGLISH_TEXT.split()
CHINESE = (
    "的一是不了在人有我他这个们中来上大为和国地到以说时要就出会可也你对生能而子那得于着下自之年过发后作里用道行所然家"
    "种事成方多经么去法学如都同现当没动面起看定天分还进好小部其些主样理心她本前开但因只从想实日军者意无力它与长把机"
    "十民第公此已工使情明性知全三又关点正业外将两高间由问很最重并物手应战向头文体政美相见被利什二等产或新己制身果加"
    "西斯月话合回特代内信表化老给世位次度门任常先海通教儿原东声提立及比员解水名真论处走义各入几口认条平系气题活尔更"
)
SYLLABLES = (
    "ba",
    "con",
    "der",
    "el",
    "fi",
    "gra",
    "hol",
    "in",
    "jo",
    "ka",
    "lu",
    "mer",
    "no",
    "or",
    "pli",
    "qua",
    "rest",
)
VOCABULARY = 20_000
PHRASE_EVERY = 40
"""One of so many English messages has the phrase."""
PHRASE = "machine learning"


class TextSource:
    """Makes messages, the same ones for the same seed."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)
        self._english = _vocabulary(ENGLISH, _pseudo_words())
        self._chinese = _vocabulary(
            [*CHINESE], (a + b for a, b in itertools.product(CHINESE, CHINESE) if a != b), self._random
        )
        self._weights = list(itertools.accumulate(1 / (rank + 2.7) for rank in range(VOCABULARY)))

    def message(self, *, chinese: bool, words: int) -> str:
        """Return a message of about that many words."""
        count = max(1, round(self._random.expovariate(1 / words)))
        count = min(count, 20 * words)
        if chinese:
            found = self._random.choices(self._chinese, cum_weights=self._weights, k=count)
            return "\uff0c".join("".join(found[start : start + 8]) for start in range(0, count, 8)) + "。"
        found = self._random.choices(self._english, cum_weights=self._weights, k=count)
        if self._random.randrange(PHRASE_EVERY) == 0:
            found.append(PHRASE)
        return " ".join(found) + "."


def _pseudo_words() -> "itertools.chain[str]":
    return itertools.chain.from_iterable(
        ("".join(parts) for parts in itertools.product(SYLLABLES, repeat=size)) for size in (2, 3, 4)
    )


def _vocabulary(common: list[str], others: Iterable[str], shuffled: random.Random | None = None) -> list[str]:
    """Return words, the most frequent first."""
    rest = list(itertools.islice(others, VOCABULARY - len(common)))
    if shuffled:
        shuffled.shuffle(rest)
    return [*common, *rest]
