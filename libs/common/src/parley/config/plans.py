"""Plans file (``PLANS_FILE``): limits of each plan, of which a service reads its own."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Generic, TypeVar

import structlog
from pydantic import BaseModel, ValidationError

from parley.config.settings import SettingsError
from parley.errors import ParleyError

log = structlog.get_logger()

DEFAULT_PLAN = "default"
MAX_NAME_LENGTH = 64
MAX_LOGGED_NAMES = 100
"""Unknown names that are remembered, to log each one once."""

P = TypeVar("P", bound=BaseModel)


class QuotaExceeded(ParleyError):
    """A quota of your plan is used up."""

    status, code, title = 429, "quota_exceeded", "Quota exceeded"
    remedy = "`detail` names the quota. Wait until the next day or month, delete something, or upgrade the plan."

    def __init__(self, detail: str | None = None) -> None:
        super().__init__(detail, headers={"x-should-retry": "false"})


class Plans(Generic[P]):
    """Plans by name; an unknown name means ``default`` and is logged once."""

    def __init__(self, plans: Mapping[str, P], default: P) -> None:
        """Use ``default`` as the plan ``default``, unless ``plans`` has one of that name."""
        self.by_name: dict[str, P] = {DEFAULT_PLAN: default, **plans}
        self._unknown: set[str] = set()

    def find(self, name: str) -> P:
        """Return the plan of this name, or the default plan."""
        return self.by_name[self.effective(name)]

    def effective(self, name: str) -> str:
        """Return ``name`` if there is such a plan, otherwise ``default``."""
        if name in self.by_name:
            return name
        if name not in self._unknown and len(self._unknown) < MAX_LOGGED_NAMES:
            self._unknown.add(name)
            log.warning("unknown_plan", plan=name[:MAX_NAME_LENGTH])
        return DEFAULT_PLAN


def read_plans(path: Path | None, default: P) -> Plans[P]:
    """Read the plans as models of the type of ``default``; raise SettingsError when the file or a plan is invalid."""
    kind = type(default)
    try:
        return Plans({name: kind.model_validate(members) for name, members in _read(path).items()}, default)
    except ValidationError as error:
        first = error.errors(include_input=False)[0]
        where = ".".join(map(str, first["loc"]))
        raise SettingsError(f"PLANS_FILE: {where}: {first['msg'].removeprefix('Value error, ')}") from None


def _read(path: Path | None) -> dict[str, Any]:
    if path is None:
        return {}
    import yaml

    try:
        found = yaml.safe_load(path.read_text(encoding="utf-8")) or {}
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise SettingsError(f"PLANS_FILE: cannot be read ({type(error).__name__})") from None
    if not isinstance(found, dict) or not all(isinstance(name, str) for name in found):
        raise SettingsError("PLANS_FILE: must be a mapping of plan names to their limits")
    return found
