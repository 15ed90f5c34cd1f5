"""The two pip settings that other downloaders need, index and certificates. Works without pip.

As in pip, the environment wins over files, and later files win over earlier files.
"""

import configparser
import os
from pathlib import Path

KEYS = ("index-url", "cert")


def configuration_files() -> list[Path]:
    """Return pip's configuration files in ascending order of precedence."""
    chosen = os.environ.get("PIP_CONFIG_FILE")
    if chosen == os.devnull:
        return []
    home = os.environ.get("HOME")
    shared = [Path(folder, "pip", "pip.conf") for folder in os.environ.get("XDG_CONFIG_DIRS", "/etc/xdg").split(":")]
    personal = [Path(home, ".pip", "pip.conf"), Path(home, ".config", "pip", "pip.conf")] if home else []
    return [*shared, Path("/etc/pip.conf"), *personal, *([Path(chosen)] if chosen else [])]


def pip_settings() -> dict[str, str]:
    """Return the configured `index-url` and `cert`. A setting that is not configured is absent."""
    parser = configparser.RawConfigParser()
    parser.read(configuration_files(), encoding="utf-8")
    settings = {}
    for key in KEYS:
        value = os.environ.get(f"PIP_{key.upper().replace('-', '_')}") or parser.get("global", key, fallback="")
        if value:
            settings[key] = value
    return settings


if __name__ == "__main__":
    for name, value in pip_settings().items():
        print(f"{name}\t{value}")
