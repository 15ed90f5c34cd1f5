"""Fail if a package imports what it does not declare, or declares what it does not import.

Exceptions, with their reasons, are in `[tool.deptry]` of the package's pyproject.toml.
"""

import subprocess
import sys
import tomllib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
DEPTRY = Path(sys.executable).with_name("deptry")
TIMEOUT_SECONDS = 120
MODULES = {"libpass": "passlib", "opentelemetry-sdk": "opentelemetry", "pyjwt": "jwt", "pyyaml": "yaml"}
"""Modules whose names differ from the names of their distributions. Members of the workspace are added."""


def members() -> dict[Path, tuple[str, str]]:
    """Return the distribution and module of each member of the workspace, by folder."""
    patterns = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["uv"]["workspace"]["members"]
    found = {}
    for folder in sorted(path for pattern in patterns for path in ROOT.glob(pattern)):
        project = tomllib.loads((folder / "pyproject.toml").read_text())
        module = project["tool"]["uv"]["build-backend"]["module-name"]
        found[folder] = (project["project"]["name"], module)
    return found


def check(folder: Path, module: str, module_map: str) -> str:
    """Check one member; return its findings, or an empty text."""
    command = [str(DEPTRY), "src", "--no-ansi", "--known-first-party", module, "--package-module-name-map", module_map]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False, timeout=TIMEOUT_SECONDS)
    if done.returncode == 0:
        return ""
    findings = [line for line in (done.stdout + done.stderr).splitlines() if " DEP0" in line]
    return "\n".join(f"{folder.relative_to(ROOT)}/{line}" for line in findings) or done.stderr


def main() -> None:
    """Check every member; exit with status 1 if one has findings."""
    found = members()
    module_map = ",".join(f"{name}={module}" for name, module in [*MODULES.items(), *found.values()])
    with ThreadPoolExecutor(2) as pool:
        results = pool.map(lambda folder: check(folder, found[folder][1], module_map), found)
    findings = "\n".join(filter(None, results))
    if findings:
        print(findings)
        raise SystemExit(1)


if __name__ == "__main__":
    main()
