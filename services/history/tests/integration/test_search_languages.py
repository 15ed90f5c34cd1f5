"""Search in scripts with marks, joiners and cases, and of messages that an earlier version indexed."""
# ruff: noqa: RUF001 - the letters of other scripts are what is tested

from typing import Any

import pytest

from history.database import Database
from history.search.postgres_reindexing import PostgresReindexingStore
from history.search.store import IndexTerms, StoredText
from history.search.tokenizer import INDEX_VERSION
from history_testing.app import ApiUser, RunningHistory
from history_testing.search_index import reindex
from history_testing.turn_events import SampleTurn
from parley.ids import new_id

pytestmark = pytest.mark.integration

TEXTS = {
    "hindi": "मुझे हिन्दी भाषा पसंद है",
    "turkish": "İstanbul'da IŞIK ve ısı",
    "ligature": "The ofﬁce is on ﬁre",
    "german": "STRAẞE und Straße",
    "decomposed": "Cafe\u0301 re\u0301sume\u0301",
    "arabic": "هَذَا كِتَابٌ جَمِيلٌ",
    "persian": "من نمی\u200cخواهم",
    "soft hyphen": "Donau\u00addampf\u00adschiff",
    "zero width": "pass\u200bword\ufeffs",
    "thai": "ฉันรักภาษาไทยมาก",
    "emoji": "well done 👩🏽\u200d💻🎉🎉 indeed",
    "korean": "\u1112\u1161\u11ab\u1100\u1173\u11af 공부",
    "tamil": "தமிழ் மொழி",
    "greek": "ΟΔΥΣΣΕΥΣ",
}
QUERIES = [
    ("हिन्दी", "hindi", "हिन्दी"),
    ("हिन्", "hindi", "हिन्दी"),
    ("istanbul", "turkish", "İstanbul"),
    ("İSTANBUL", "turkish", "İstanbul"),
    ("ışık", "turkish", "IŞIK"),
    ("office", "ligature", "ofﬁce"),
    ("FIRE", "ligature", "ﬁre"),
    ("strasse", "german", "STRAẞE"),
    ("café", "decomposed", "Cafe\u0301"),
    ("re\u0301sume\u0301", "decomposed", "re\u0301sume\u0301"),
    ("كتاب", "arabic", "كِتَابٌ"),
    ("كِتَابٌ", "arabic", "كِتَابٌ"),
    ("نمیخواهم", "persian", "نمی\u200cخواهم"),
    ("donaudampfschiff", "soft hyphen", "Donau\u00addampf\u00adschiff"),
    ("passwords", "zero width", "pass\u200bword\ufeffs"),
    ("ภาษาไทย", "thai", "ภาษาไทย"),
    ("🎉", "emoji", "🎉"),
    ("👩🏽‍💻🎉", "emoji", "👩🏽‍💻🎉"),
    ("한글", "korean", "\u1112\u1161\u11ab\u1100\u1173\u11af"),
    ("தமிழ்", "tamil", "தமிழ்"),
    ("οδυσσευς", "greek", "ΟΔΥΣΣΕΥΣ"),
]
WRONG = ["न", "दी", "डाक", "கழ்", "caf zzz", "ไทยรัก"]


async def _hits(user: ApiUser, q: str) -> list[dict[str, Any]]:
    return [dict(hit) for hit in (await user.get("/api/v1/search", q=q))["data"]]


async def _store(history: RunningHistory) -> tuple[ApiUser, dict[str, SampleTurn]]:
    owner = new_id()
    turns = {name: SampleTurn(owner, question=text, answer="-") for name, text in TEXTS.items()}
    await history.publish(*(turn.ended() for turn in turns.values()))
    return history.user(owner), turns


async def test_words_are_found_and_marked_in_every_script_and_case(history: RunningHistory) -> None:
    user, turns = await _store(history)
    for q, name, marked in QUERIES:
        hits = await _hits(user, q)
        assert [hit["message_id"] for hit in hits] == [str(turns[name].user_message_id)], (q, name)
        found = [part["text"] for part in hits[0]["snippet"] if part["match"]]
        assert found[0] == marked, (q, name)
        assert "".join(part["text"] for part in hits[0]["snippet"]) == TEXTS[name]
    for q in WRONG:
        assert not await _hits(user, q), q


async def test_titles_are_found_in_any_case_and_normalization(history: RunningHistory) -> None:
    user, turns = await _store(history)
    for q, name in (
        ("istanbul", "turkish"),
        ("OFFICE", "ligature"),
        ("strasse und", "german"),
        ("CAFÉ", "decomposed"),
        ("οδυσσευς", "greek"),
        ("donaudampf", "soft hyphen"),
    ):
        found = (await user.get("/api/v1/conversations", q=q))["data"]
        assert [one["id"] for one in found] == [str(turns[name].conversation_id)], q


async def test_messages_that_an_earlier_version_indexed_are_indexed_again(history: RunningHistory) -> None:
    user, turns = await _store(history)
    hindi, german = turns["hindi"].user_message_id, turns["german"].user_message_id
    changed = "UPDATE message_search SET terms = 'old' WHERE message_id = ANY($1)"
    await history.pool.execute(changed, [hindi, german])
    assert not await _hits(user, "हिन्दी")
    await history.pool.execute("DELETE FROM search_reindexing")
    await reindex(history)
    assert [hit["message_id"] for hit in await _hits(user, "हिन्दी")] == [str(hindi)]
    assert [hit["message_id"] for hit in await _hits(user, "strasse")] == [str(german)]


async def test_a_message_that_changes_meanwhile_keeps_its_terms(history: RunningHistory) -> None:
    turn = SampleTurn(question="größer")
    await history.publish(turn.ended())
    stale = IndexTerms(StoredText(turn.user_message_id, "1", "x"), "'~veraltet':1")
    await PostgresReindexingStore(Database(history.pool)).store(INDEX_VERSION, [stale], turn.user_message_id)
    assert await _hits(history.user(turn.user_id), "größer")
