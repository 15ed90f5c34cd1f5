"""Which plans there are: the names in the operator's ``plans.yaml``; what they allow is for others to read."""

from pathlib import Path

import structlog
import yaml

from parley.settings import SettingsError

log = structlog.get_logger()

DEFAULT_PLAN = "default"


class Plans:
    """The names of the plans."""

    def __init__(self, names: frozenset[str] = frozenset()) -> None:
        """Take the names; ``default`` is always one."""
        self.names = names | {DEFAULT_PLAN}

    def effective(self, plan: str) -> str:
        """Return the plan an account is on: a name that is gone from the file counts as ``default``, and is logged."""
        if plan in self.names:
            return plan
        log.warning("unknown plan", plan=plan)
        return DEFAULT_PLAN


def read_plans(path: Path | None) -> Plans:
    """Read the names from the file; raises SettingsError."""
    if path is None:
        return Plans()
    try:
        found = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise SettingsError(f"PLANS_FILE: cannot be read ({type(error).__name__})") from None
    if not isinstance(found, dict) or not all(isinstance(name, str) for name in found):
        raise SettingsError("PLANS_FILE: must map the names of plans to what they allow")
    return Plans(frozenset(found))
