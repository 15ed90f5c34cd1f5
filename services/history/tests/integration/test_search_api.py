"""Finding messages, in English and Chinese."""

from typing import Any

import pytest

from history_testing.app import ApiUser, RunningHistory
from history_testing.turn_events import SampleTurn

pytestmark = pytest.mark.integration

PATH = "/api/v1/search"


@pytest.fixture
async def library(history: RunningHistory) -> Any:
    """Somebody with a few conversations."""
    first = SampleTurn(question="How do I train for running a marathon?", answer="Run three times a week, rest well.")
    others = [
        SampleTurn(first.user_id, question="我想学习机器学习", answer="机器学习是人工智能的一个分支。"),
        SampleTurn(first.user_id, question="Wie heißt die Straße?", answer="Sie heißt Schloßstraße, naïve Frage."),
        SampleTurn(first.user_id, question="猫", answer="The cat sat on the mat. iPhone手机很贵"),
    ]
    await history.publish(*(one.ended() for one in (first, *others)))
    return history.user(first.user_id), first


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
        ("学机器", 0),
        ("习是人", 1),
        ("猫", 1),
        ("贵", 1),
        ("iphone 手机", 1),
        ("\uff49\uff30hone", 1),
        ("zebra", 0),
        ("!!!", 0),
        ("'); DROP TABLE messages; --", 0),
        ("a & b | !c <-> 'd':*", 0),
    ],
)
async def test_a_query_finds_the_messages_that_hold_all_of_it(library: Any, q: str, count: int) -> None:
    person, _ = library
    assert len(await _found(person, q)) == count, q


async def test_a_result_shows_where_it_matches(library: Any) -> None:
    person, first = library
    (hit,) = (await person.get(PATH, q="marathons"))["data"]
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
    (chinese,) = (await person.get(PATH, q="人工智能"))["data"]
    assert [s["text"] for s in chinese["snippet"] if s["match"]] == ["人工智能"]


async def test_filters_narrow_the_results(library: Any) -> None:
    person, first = library
    assert len(await _found(person, "机器", role="user")) == 1
    assert len(await _found(person, "run", conversation_id=str(first.conversation_id))) == 2
    assert len(await _found(person, "run", **{"from": "2026-11-22T10:00:11Z"})) == 1
    assert len(await _found(person, "run", to="2026-11-22T10:00:11Z")) == 1
    assert not await _found(person, "run", **{"from": "2026-11-23"})


async def test_pages_show_every_result_once(history: RunningHistory) -> None:
    first = SampleTurn(question="apple 1", answer="no")
    turns = [
        first,
        *(SampleTurn(first.user_id, question=f"apple {'apple ' * (n % 3)}{n}", answer="no") for n in range(2, 8)),
    ]
    await history.publish(*(one.ended() for one in turns))
    person, seen = history.user(first.user_id), list[str]()
    params: dict[str, Any] = {"q": "apple", "limit": 2}
    while True:
        page = await person.get(PATH, **params)
        seen += [hit["message_id"] for hit in page["data"]]
        if page["next_cursor"] is None:
            break
        params["cursor"] = page["next_cursor"]
    assert sorted(seen) == sorted(str(one.user_message_id) for one in turns)
    assert (await person.get(PATH, 400, q="pear", cursor=params["cursor"]))["code"] == "invalid_cursor"


async def test_nobody_finds_what_is_somebody_elses_deleted_or_still_running(
    history: RunningHistory, library: Any
) -> None:
    person, first = library
    assert not await _found(history.user(), "marathon")
    await history.publish(first.next(question="xylophone").started())
    assert await _found(person, "xylophone") == ["xylophone"]
    await person.request("DELETE", f"/api/v1/conversations/{first.conversation_id}")
    assert not await _found(person, "marathon")


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
async def test_a_bad_search_is_refused(history: RunningHistory, params: dict[str, str]) -> None:
    assert (await history.user().get(PATH, 422, **params))["code"] == "validation_failed"


async def test_the_search_uses_its_index(history: RunningHistory, library: Any) -> None:
    person, _ = library
    async with history.pool.acquire() as connection, connection.transaction():
        await connection.execute("SET LOCAL enable_seqscan = off")
        query = "EXPLAIN SELECT 1 FROM messages WHERE search @@ $1::text::tsquery"
        plan = await connection.fetch(query.replace("$1", f"'''user:{person.id}'' & ''机器'''"))
    assert "messages_search" in "\n".join(row[0] for row in plan)
