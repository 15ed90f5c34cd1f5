"""Assignment of test files to the workers of pytest-xdist."""

import re
from collections.abc import Generator, Iterable, Sequence
from typing import Any

import pytest
from xdist.scheduler import LoadScopeScheduling

ONE_WORKER = "one_worker"
"""The setting with lines ``GROUP PATH``: one worker runs the tests below the paths of a group, which share servers.

A group with the name of a fixture has all tests that use it, unless they are in another group of this kind.
"""


SERVERS = {"separate": "private_backends"}
"""The fixture with the servers of a group, unless it has the group's name."""


class Groups:
    """Groups of tests that run in one worker each; all other files are groups of their own."""

    def __init__(self, lines: Iterable[str]) -> None:
        pairs = [line.split(maxsplit=1) for line in lines]
        self._paths = [(path, group) for group, path in pairs]
        self._names = dict.fromkeys(group for group, _ in pairs)
        names = "|".join(re.escape(name) for name in self._names)
        pattern = rf"\[(?:.*-)?({names})(?:-.*)?\]$"
        self._parameter = re.compile(pattern) if names else None  # nosemgrep: regex-from-data - our groups

    def of(self, nodeid: str) -> str:
        """Return the group of a test: the one that a parameter names, or that of its path, or its file."""
        if self._parameter and (named := self._parameter.search(nodeid)):
            return named[1]
        found = (group for path, group in self._paths if nodeid.startswith(path))
        return next(found, nodeid.partition("::")[0])

    def missing(self, nodeid: str, fixtures: Sequence[str]) -> str | None:
        """Return the group that a test with these fixtures must be in but is not."""
        wanted = [name for name in self._names if name in fixtures]
        return wanted[0] if wanted and self.of(nodeid) not in wanted else None


class GroupEnds:
    """Ends the servers of a group after its last test, because idle services need processor time and memory."""

    def __init__(self, groups: Groups) -> None:
        self._groups = groups
        self._fixtures: dict[str, tuple[pytest.FixtureDef[Any], Any]] = {}

    @pytest.hookimpl(wrapper=True)
    def pytest_fixture_setup(self, fixturedef: pytest.FixtureDef[Any], request: Any) -> Generator[None, object, object]:
        """Remember the fixtures that live as long as the session."""
        result = yield
        if fixturedef.scope == "session":
            self._fixtures[fixturedef.argname] = fixturedef, request
        return result

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_teardown(self, item: pytest.Item, nextitem: pytest.Item | None) -> Generator[None]:
        """Finish the fixture of a group, and the fixtures that use it, before the test of another group."""
        yield
        group = self._groups.of(item.nodeid)
        if nextitem is not None and self._groups.of(nextitem.nodeid) != group:
            name = SERVERS.get(group, group)
            if name in self._fixtures:
                fixture, request = self._fixtures.pop(name)
                fixture.finish(request)


class GroupMembers:
    """Fails a test that uses the fixture of a group and is not in it.

    It fails alone, because pytest-xdist does not show an error of the collection.
    """

    def __init__(self, groups: Groups) -> None:
        self._groups = groups

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_setup(self, item: pytest.Item) -> None:
        """Fail before the fixture starts servers that another worker has."""
        if missing := self._groups.missing(item.nodeid, getattr(item, "fixturenames", ())):
            pytest.fail(
                f"It uses the fixture {missing!r}, which each other worker would start again. "
                f"Add it to the group {missing!r} of one_worker in pyproject.toml.",
                pytrace=False,
            )


class FileScheduling(LoadScopeScheduling):  # type: ignore[misc]  # xdist has no types
    """Schedules like ``--dist loadfile``, with each group of ``one_worker`` as one scope."""

    def __init__(self, config: pytest.Config, log: Any = None) -> None:
        super().__init__(config, log)
        self._groups = Groups(config.getini(ONE_WORKER))

    def _split_scope(self, nodeid: str) -> str:
        return self._groups.of(nodeid)
