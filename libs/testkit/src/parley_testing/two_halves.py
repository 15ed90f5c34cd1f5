"""One session in two halves: what may share the machine, in several workers; then, one by one, what may not.

The workers are pytest-xdist's (``-n 2``). They leave the tests that run alone to their controller, which runs them once
the workers have finished: one report, one exit status. Without workers everything is one row.
"""

from collections.abc import Generator
from itertools import zip_longest
from typing import Any

import pytest

_ALONE = ("alone", "e2e")


def runs_alone(item: pytest.Item) -> bool:
    """Say whether a test must not share the machine: it measures time, or it runs the whole product."""
    return any(item.get_closest_marker(name) for name in _ALONE)


def is_worker(config: pytest.Config) -> bool:
    """Say whether this process runs tests for another."""
    return hasattr(config, "workerinput")


def has_workers(config: pytest.Config) -> bool:
    """Say whether other processes run tests for this one."""
    return config.pluginmanager.has_plugin("dsession")


class TwoHalves:
    """The hooks of a session that has workers, in them and in their controller; without workers they do nothing."""

    def __init__(self) -> None:
        self._collected = True

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        """Note that tests are missing, or not the same in each worker: nothing is proven then."""
        self._collected = self._collected and not report.failed

    @pytest.hookimpl(trylast=True)
    def pytest_collection_modifyitems(self, config: pytest.Config, items: list[pytest.Item]) -> None:
        """Keep this process's half; the other half is run all the same, so this is no deselection."""
        if is_worker(config) or has_workers(config):
            items[:] = [item for item in items if runs_alone(item) is not is_worker(config)]
        if is_worker(config):
            # Many short ones at the end let the workers end together.
            items.sort(key=lambda item: item.get_closest_marker("integration") is None)

    @pytest.hookimpl(optionalhook=True)
    def pytest_xdist_make_scheduler(self, config: pytest.Config, log: Any) -> object:
        """Hand out files, as ``--dist loadfile`` does."""
        from parley_testing.scheduling import FilesTogether

        return FilesTogether(config, log) if config.option.dist == "loadfile" else None

    @pytest.hookimpl(wrapper=True)
    def pytest_runtestloop(self, session: pytest.Session) -> Generator[None, object, object]:
        """Run the second half after the first, which raises when it was told to stop."""
        done = yield
        if has_workers(session.config) and self._collected:
            in_workers = session.testscollected
            session.perform_collect()
            session.testscollected += in_workers
            _run_in_a_row(session)
        return done


def _run_in_a_row(session: pytest.Session) -> None:
    for item, following in zip_longest(session.items, session.items[1:]):
        item.config.hook.pytest_runtest_protocol(item=item, nextitem=following)
        if session.shouldfail:
            raise session.Failed(session.shouldfail)
        if session.shouldstop:
            raise session.Interrupted(session.shouldstop)
