"""How long a plan keeps what was deleted, from the operator's ``plans.yaml``."""

from datetime import timedelta
from pathlib import Path
from typing import Any

import yaml

from history.ports import Retention
from parley.settings import SettingsError

DEFAULT_PLAN = "default"
LONGEST = 3650


def read_retention(path: Path | None, default_days: int) -> Retention:
    """Return the retention of each plan; raises SettingsError when the file cannot be read or names nonsense."""
    found = _read(path) if path else {}
    days = {name: _days(name, members, default_days) for name, members in found.items()}
    fallback = days.get(DEFAULT_PLAN, default_days)
    return lambda plan: timedelta(days=days.get(plan, fallback))


def _read(path: Path) -> dict[str, Any]:
    try:
        found = yaml.safe_load(path.read_text(encoding="utf-8")) or {}
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise SettingsError(f"PLANS_FILE: cannot be read ({type(error).__name__})") from None
    if not isinstance(found, dict) or not all(isinstance(members, dict) for members in found.values()):
        raise SettingsError("PLANS_FILE: must name plans, each with its members")
    return found


def _days(name: str, members: dict[str, Any], default_days: int) -> int:
    days = members.get("retention_days", default_days)
    if type(days) is not int or not 0 <= days <= LONGEST:
        raise SettingsError(f"PLANS_FILE: {name}.retention_days: must be a number of days, 0 to {LONGEST}")
    return days
