"""The examples of docs/events.md run as they are printed."""

import re
import sqlite3
from pathlib import Path
from typing import Any

import pytest

from parley_events.testing import InProcessBus, sample

PAGE = Path(__file__).parents[3] / "docs/events.md"
RUN = "asyncio.run(subscriber.run())"


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)


async def test_the_common_case_needs_at_most_ten_lines_and_stores_each_event_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (program,) = [block for block in blocks("python") if RUN in block]
    lines = [line for line in program.splitlines() if line and not line.startswith(("import", "from"))]
    assert len(lines) <= 10
    database = sqlite3.connect("turns.db")
    database.execute("CREATE TABLE tokens (user_id TEXT, tokens INTEGER)")
    names: dict[str, Any] = {}
    exec(compile(program.replace(RUN, ""), PAGE, "exec"), names)
    subscriber, bus = names["subscriber"], InProcessBus()
    turn = sample(names["TurnEnded"])
    async with bus.running(subscriber):
        await bus.publish(turn, turn, sample(names["TurnEnded"], "conversation.turn.failed", status="failed"))
        await bus.settled(subscriber)
    assert database.execute("SELECT tokens FROM tokens").fetchall() == [(57,)]
    assert not bus.dead_letters(subscriber.queue)
    names["store"].close()
    database.close()


def test_every_python_example_of_the_page_is_python() -> None:
    for block in blocks("python"):
        compile(block, PAGE, "exec")


def test_the_page_names_the_package_that_exists() -> None:
    text = PAGE.read_text(encoding="utf-8")
    assert "pip install ./libs/events" in text
    assert "parley-common" not in text
