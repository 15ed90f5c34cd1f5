"""Search route, in English, German and Chinese."""

from dataclasses import dataclass
from typing import Any

import pytest

from history_testing.app import ApiUser, RunningHistory
from history_testing.turn_events import SampleTurn

pytestmark = pytest.mark.integration

PATH = "/api/v1/search"


@dataclass(frozen=True)
class Library:
    """A user with a few conversations, and the turn of the first one."""

    user: ApiUser
    first: SampleTurn


@pytest.fixture
async def library(history: RunningHistory) -> Library:
    first = SampleTurn(question="How do I train for running a marathon?", answer="Run three times a week, rest well.")
    others = [
        SampleTurn(first.user_id, question="我想学习机器学习", answer="机器学习是人工智能的一个分支。"),
        SampleTurn(first.user_id, question="Wie heißt die Straße?", answer="Sie heißt Schloßstraße, naïve Frage."),
        SampleTurn(first.user_id, question="猫", answer="The cat sat on the mat. iPhone手机很贵"),
    ]
    await history.publish(*(one.ended() for one in (first, *others)))
    return Library(history.user(first.user_id), first)


async def _found(user: ApiUser, q: str, **params: Any) -> list[str]:
    hits = (await user.get(PATH, q=q, **params))["data"]
    return ["".join(s["text"] for s in hit["snippet"]) for hit in hits]


@pytest.mark.parametrize(
    ("q", "count"),
    [
        ("marathon", 1),
        ("MARATHON training", 1),
        ("marath", 1),
        ("runs", 2),
        ("marathon cat", 0),
        ("the cat", 1),
        ("the", 1),
        ("strasse", 1),
        ("Schloßstraße", 1),
        ("机器", 2),
        ("机器学习", 2),
        ("人工智能", 1),
        ("機器學習", 2),
        ("学机器", 0),
        ("习是人", 1),
        ("猫", 1),
        ("贵", 1),
        ("iphone 手机", 1),
        ("\uff49\uff30hone", 1),
        ('"sat on the mat"', 1),
        ('"mat the on sat"', 0),
        ('"学习机器"', 1),
        ('"cat" 手机', 1),
        ("机器 -人工智能", 1),
        ("run -rest", 1),
        ('cat -"the mat"', 0),
        ("-cat", 0),
        ("zebra", 0),
        ("!!!", 0),
        ("'); DROP TABLE messages; --", 0),
        ("a & b | !c <-> 'd':*", 0),
    ],
)
async def test_a_query_finds_the_messages_that_contain_all_of_its_words(library: Library, q: str, count: int) -> None:
    user = library.user
    assert len(await _found(user, q)) == count, q


async def test_a_result_shows_where_it_matches(library: Library) -> None:
    user, first = library.user, library.first
    (hit,) = (await user.get(PATH, q="marathons"))["data"]
    assert hit.pop("score") > 0
    assert hit == {
        "conversation_id": str(first.conversation_id),
        "conversation_title": "How do I train for running a marathon?",
        "message_id": str(first.user_message_id),
        "role": "user",
        "snippet": [
            {"text": "How do I train for running a ", "match": False},
            {"text": "marathon", "match": True},
            {"text": "?", "match": False},
        ],
        "created_at": "2026-11-22T10:00:10.123Z",
    }
    (chinese,) = (await user.get(PATH, q="人工智能"))["data"]
    assert [s["text"] for s in chinese["snippet"] if s["match"]] == ["人工智能"]


async def test_filters_narrow_the_results(library: Library) -> None:
    user, first = library.user, library.first
    assert len(await _found(user, "机器", role="user")) == 1
    assert len(await _found(user, "run", conversation_id=str(first.conversation_id))) == 2
    assert len(await _found(user, "run", **{"from": "2026-11-22T10:00:11Z"})) == 1
    assert len(await _found(user, "run", to="2026-11-22T10:00:11Z")) == 1
    assert not await _found(user, "run", **{"from": "2026-11-23"})


async def test_pages_show_every_result_once(history: RunningHistory) -> None:
    first = SampleTurn(question="apple 1", answer="no")
    turns = [
        first,
        *(SampleTurn(first.user_id, question=f"apple {'apple ' * (n % 3)}{n}", answer="no") for n in range(2, 8)),
    ]
    await history.publish(*(one.ended() for one in turns))
    user, seen = history.user(first.user_id), list[str]()
    params: dict[str, Any] = {"q": "apple", "limit": 2}
    while True:
        page = await user.get(PATH, **params)
        seen += [hit["message_id"] for hit in page["data"]]
        if page["next_cursor"] is None:
            break
        params["cursor"] = page["next_cursor"]
    assert sorted(seen) == sorted(str(one.user_message_id) for one in turns)
    assert (await user.get(PATH, 400, q="pear", cursor=params["cursor"]))["code"] == "invalid_cursor"


async def test_messages_of_others_of_deleted_conversations_and_of_running_answers_are_not_found(
    history: RunningHistory, library: Library
) -> None:
    user, first = library.user, library.first
    assert not await _found(history.user(), "marathon")
    await history.publish(first.next(question="xylophone").started())
    assert await _found(user, "xylophone") == ["xylophone"]
    await user.request("DELETE", f"/api/v1/conversations/{first.conversation_id}")
    assert not await _found(user, "marathon")


@pytest.mark.parametrize(
    "params",
    [
        {},
        {"q": ""},
        {"q": "   "},
        {"q": "x" * 201},
        {"q": "a\x00"},
        {"q": "a", "role": "system"},
        {"q": "a", "conversation_id": "abc"},
        {"q": "a", "from": "yesterday"},
        {"q": "a", "from": "0001-01-01T00:00:00+14:00"},
    ],
)
async def test_an_invalid_search_is_refused(history: RunningHistory, params: dict[str, str]) -> None:
    assert (await history.user().get(PATH, 422, **params))["code"] == "validation_failed"


@pytest.mark.parametrize("kind", ["words", "han", "four bytes", "expanding", "one word", "numbers"])
async def test_an_answer_of_any_size_and_script_is_stored_and_found(history: RunningHistory, kind: str) -> None:
    size = 400_000
    text = {
        "words": " ".join(f"w{i:x}" for i in range(size // 5)),
        "han": "".join(chr(0x4E00 + (i * 7919) % 20000) for i in range(size)),
        "four bytes": " ".join(chr(0x10400 + i % 40) + chr(0x10400 + i // 40 % 40) * 2 for i in range(size // 4)),
        "expanding": "\ufdfa " * (size // 2),
        "one word": "x" * size,
        "numbers": " ".join(str(i * 7919) for i in range(size // 8)),
    }[kind]
    long = SampleTurn(question="needle", answer=text)
    await history.publish(long.ended())
    user = history.user(long.user_id)
    found = await user.get(f"/api/v1/conversations/{long.conversation_id}/messages")
    assert found["data"][1]["content"] == text
    assert (await user.get(PATH, q="needle"))["data"]
    if kind == "words":
        assert (await user.get(PATH, q="w1f"))["data"]


async def test_a_text_of_combining_marks_is_searched_in_time_proportional_to_its_length(
    history: RunningHistory,
) -> None:
    one = SampleTurn(question="東京都 e" + "\u0315\u0300" * 15_000)
    await history.publish(one.ended())
    found = await history.user(one.user_id).get("/api/v1/search", q="東京都")
    assert [hit["message_id"] for hit in found["data"]] == [str(one.user_message_id)]
