"""Blocked imports."""

import importlib
import sys

import pytest

from parley.process import imports


def test_a_blocked_module_cannot_be_imported_until_the_context_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "colorsys", raising=False)
    with imports.block("colorsys"), pytest.raises(ImportError):
        importlib.import_module("colorsys")
    assert importlib.import_module("colorsys").__name__ == "colorsys"


def test_a_module_that_is_loaded_already_is_not_blocked() -> None:
    with imports.block("json"):
        assert sys.modules["json"] is not None
