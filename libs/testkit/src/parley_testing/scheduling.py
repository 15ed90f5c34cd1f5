"""Which worker of pytest-xdist gets which tests."""

from typing import Any

import pytest
from xdist.scheduler import LoadScopeScheduling

ONE_WORKER = "one_worker"
"""The setting: paths whose tests go to one worker together, because they share a server that takes long to start."""


class FilesTogether(LoadScopeScheduling):  # type: ignore[misc]  # xdist has no types
    """As ``--dist loadfile``: a file's tests go to one worker. All files below ``one_worker`` count as one."""

    def __init__(self, config: pytest.Config, log: Any = None) -> None:
        """Take the paths from the configuration."""
        super().__init__(config, log)
        self._together = tuple(config.getini(ONE_WORKER))

    def _split_scope(self, nodeid: str) -> str:
        return ONE_WORKER if nodeid.startswith(self._together) else nodeid.partition("::")[0]
