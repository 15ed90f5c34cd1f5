"""Pages of search results."""

import asyncio
from datetime import UTC, datetime
from uuid import UUID

import pytest

from history.search.query import QueryTerms
from history.search.service import MAX_SEARCHES_OF_USER, SearchService
from history.search.store import UNMOVED, SearchMatch, SearchPosition, SearchQuery, SearchResults, SearchWindow
from history_testing.fakes import FakeSearchStore
from parley.errors import InvalidCursor
from parley.ids import new_id
from parley.process.worker_thread import WorkerThread
from parley_testing import eventually

WORKER = WorkerThread("search")
MOMENT = datetime(2026, 11, 22, 10, 0, tzinfo=UTC)


def _match(score: float, content: str = "an apple a day", window: SearchWindow = SearchWindow(3, 2)) -> SearchMatch:  # noqa: B008
    position = SearchPosition(window, score, MOMENT, new_id())
    return SearchMatch(position, new_id(), "Title", "user", content)


async def test_pages_show_every_result_once_with_its_snippet() -> None:
    store = FakeSearchStore([_match(score / 10) for score in (9, 8, 7)])
    service, query, found, cursor = SearchService(store, WORKER), SearchQuery("apples"), [], None
    for _ in range(2):
        page = await service.page(new_id(), query, cursor, 2)
        found += page.data
        cursor = page.next_cursor
    assert cursor is None
    assert [hit.message_id for hit in found] == [match.position.id for match in store.matches]
    assert [segment.text for segment in found[0].snippet if segment.match] == ["apple"]


async def test_a_page_goes_on_in_the_next_window_and_a_cursor_leads_back_into_it() -> None:
    windows = (SearchWindow(3, 2), SearchWindow(2, 0), UNMOVED)
    store = FakeSearchStore([_match(score / 10, window=window) for window in windows for score in (9, 8, 7)])
    service, found, cursor = SearchService(store, WORKER), list[UUID](), None
    for _ in range(5):
        page = await service.page(new_id(), SearchQuery("apples"), cursor, 2)
        found += [hit.message_id for hit in page.data]
        cursor = page.next_cursor
    assert cursor is None
    assert found == [match.position.id for match in store.matches]


async def test_a_cursor_belongs_to_its_query() -> None:
    service = SearchService(FakeSearchStore([_match(0.9), _match(0.8)]), WORKER)
    page = await service.page(new_id(), SearchQuery("apple"), None, 1)
    with pytest.raises(InvalidCursor):
        await service.page(new_id(), SearchQuery("pear"), page.next_cursor, 1)


@pytest.mark.parametrize("text", ["!!!", "...", "—"])
async def test_a_query_without_letters_or_digits_finds_nothing_and_runs_no_query(text: str) -> None:
    store = FakeSearchStore([_match(0.9)])
    page = await SearchService(store, WORKER).page(new_id(), SearchQuery(text), None, 10)
    assert (page.data, page.next_cursor, store.queries) == ([], None, [])


class SlowSearchStore(FakeSearchStore):
    """Finds nothing until it may."""

    def __init__(self) -> None:
        super().__init__()
        self.begun: list[UUID] = []
        self.may_end = asyncio.Event()

    async def find(
        self, user_id: UUID, terms: QueryTerms, query: SearchQuery, after: SearchPosition | SearchWindow, limit: int
    ) -> SearchResults:
        self.begun.append(user_id)
        await self.may_end.wait()
        return await super().find(user_id, terms, query, after, limit)


async def test_many_searches_of_a_user_are_carried_out_a_few_at_a_time_beside_those_of_others() -> None:
    store, greedy, other = SlowSearchStore(), new_id(), new_id()
    service = SearchService(store, WORKER)
    users = [*[greedy] * 20, other]
    searches = [asyncio.create_task(service.page(user, SearchQuery("apple"), None, 1)) for user in users]
    await eventually(lambda: other in store.begun)
    assert store.begun == [*[greedy] * MAX_SEARCHES_OF_USER, other]
    store.may_end.set()
    await asyncio.gather(*searches)
    assert len(store.begun) == len(users)
