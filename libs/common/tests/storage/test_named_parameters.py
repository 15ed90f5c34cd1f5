import pytest

from parley.storage.named_parameters import NamedStatement


def test_names_become_numbers_in_order_of_first_use_and_casts_stay() -> None:
    statement = NamedStatement("SELECT :b::uuid, :a, :b WHERE c = ANY (:a_list::text[])")
    assert statement.sql == "SELECT $1::uuid, $2, $1 WHERE c = ANY ($3::text[])"
    assert statement.arguments({"a": 1, "b": 2, "a_list": [3], "unused": 4}) == (2, 1, [3])


def test_a_missing_value_is_an_error() -> None:
    with pytest.raises(KeyError, match="b"):
        NamedStatement("SELECT :a, :b").arguments({"a": 1})
