"""Traditional and simplified Chinese characters."""

import itertools

import pytest

from history.search.han_variants import simplified_forms, simplify
from history.search.normalization import fold, fold_with_offsets
from history.search.tokenizer import RUN


@pytest.mark.parametrize(
    ("traditional", "simplified"), [("機器學習", "机器学习"), ("國", "国"), ("臺灣", "台湾"), ("頭髮", "头发")]
)
def test_a_traditional_text_becomes_simplified(traditional: str, simplified: str) -> None:
    assert simplify(traditional) == simplify(simplified) == simplified
    assert fold_with_offsets(traditional)[0] == fold(traditional) == simplified


def test_other_texts_stay_as_they_are() -> None:
    for text in ("plain", "\u3072\u3089\u304c\u306a", "\ud55c\uae00", "机器"):
        assert simplify(text) == text


def test_every_form_is_a_character_that_is_searched_by_bigrams_and_has_no_further_form() -> None:
    forms = simplified_forms()
    assert not [chr(form) for form in forms.values() if form in forms]
    assert not [chr(code) for code in itertools.chain(forms, forms.values()) if not RUN.fullmatch(chr(code))]
