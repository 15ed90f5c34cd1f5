"""promtool, which checks and tests the rules of Prometheus."""

import os
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

from parley_embedded.binaries.debian import unpack_debian
from parley_embedded.binaries.tools_folder import tools_folder
from parley_testing.deployment.manifests import Object

PROGRAM = "usr/bin/promtool"
TIMEOUT = 120


class Promtool:
    """Runs promtool in a folder; AssertionError with its output if it fails."""

    def __init__(self, program: Path, folder: Path) -> None:
        self._program, self._folder = program, folder

    def __call__(self, *arguments: str, **files: str) -> str:
        """Write ``files``, given by name and text, as YAML files of the folder; run promtool and return its output."""
        for name, text in files.items():
            (self._folder / f"{name}.yaml").write_text(text)
        done = subprocess.run(
            [self._program, *arguments],
            cwd=self._folder,
            capture_output=True,
            text=True,
            timeout=TIMEOUT,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout


def rule_tests(groups: Sequence[str], cases: Sequence[Object], evaluation_interval: str = "1m") -> Object:
    """Return the document with promtool's tests of the rules in ``rules.yaml``; ``groups``: their names in order."""
    # promtool evaluates groups in random order. An alert that is evaluated before the rates it reads sees those of the
    # previous interval, which are stale when the interval is longer than five minutes.
    return {
        "rule_files": ["rules.yaml"],
        "evaluation_interval": evaluation_interval,
        "group_eval_order": list(groups),
        "tests": list(cases),
    }


async def find_promtool() -> Path:
    """Return the system's promtool, or Debian's, unpacked into the tools folder; raises EmbeddedError."""
    if found := shutil.which("promtool"):
        return Path(found)
    tools = tools_folder(Path.cwd(), os.environ)
    root = await unpack_debian("promtool", ["prometheus"], tools, hint="Install promtool.", finish=_keep_promtool)
    return root / PROGRAM


def _keep_promtool(root: Path) -> None:
    """Delete the server and its web pages."""
    program = (root / PROGRAM).read_bytes()
    shutil.rmtree(root)
    (root / PROGRAM).parent.mkdir(parents=True)
    (root / PROGRAM).write_bytes(program)
    (root / PROGRAM).chmod(0o755)
