"""Variables that an operator has set, wherever a service reads settings from."""

import os
from pathlib import Path

from pydantic_settings import DotEnvSettingsSource, EnvSettingsSource

from parley.config.settings import DEFAULT_SECRETS_DIR, ServiceSettings


def configured_variables() -> dict[str, str]:
    """Return the variables of the environment, ``.env`` and ``SECRETS_DIR`` that are not empty, by upper-case name.

    A secret file has an empty value: it is not read.
    """
    folder = Path(os.environ.get("SECRETS_DIR", DEFAULT_SECRETS_DIR))
    found = {path.name.upper(): "" for path in folder.iterdir() if path.is_file()} if folder.is_dir() else {}
    for source in (DotEnvSettingsSource(ServiceSettings), EnvSettingsSource(ServiceSettings)):
        found |= {name.upper(): value for name, value in source.env_vars.items() if value}
    return found
