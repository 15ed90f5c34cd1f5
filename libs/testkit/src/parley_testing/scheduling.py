"""Assignment of test files to the workers of pytest-xdist."""

from typing import Any

import pytest
from xdist.scheduler import LoadScopeScheduling

ONE_WORKER = "one_worker"
"""The setting that lists paths whose tests go to one worker together, because they share a slow server."""


class FileScheduling(LoadScopeScheduling):  # type: ignore[misc]  # xdist has no types
    """Schedules like ``--dist loadfile``, with all files below the paths of ``one_worker`` as one scope."""

    def __init__(self, config: pytest.Config, log: Any = None) -> None:
        super().__init__(config, log)
        self._together = tuple(config.getini(ONE_WORKER))

    def _split_scope(self, nodeid: str) -> str:
        return ONE_WORKER if nodeid.startswith(self._together) else nodeid.partition("::")[0]
