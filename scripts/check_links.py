"""Fail if a Markdown file names a file, heading or make target that does not exist.

Checks relative links with their anchors, paths in code from the clone (`services/chat`), the ends of paths to
Python files (`access/policy.py`), and commands such as `make test`. Decision records keep the paths of their time, so
only their links are checked.
"""

import re
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
LINK = re.compile(r"(?<!!)\[[^\]]*\]\(([^)\s]+)\)")
CODE = re.compile(r"```.*?```|`[^`\n]+`", re.DOTALL)
HEADING = re.compile(r"^#+ +(.*)$", re.MULTILINE)
HTML_ANCHOR = re.compile(r'<a id="([^"]+)"')
PATH = re.compile(r"(?<![\w./$:{<>*-])([\w.-]+/[\w./-]*)(?![\w*<{…])")
MODULE = re.compile(r"`([\w./-]+\.py)`")
MAKE = re.compile(r"(?:^|[`\n;&] *)make ([a-z][a-z0-9-]*)")
TARGET = re.compile(r"^([a-z][a-z0-9-]*):", re.MULTILINE)
HISTORICAL = ("docs/adr/", "CHANGELOG.md")
EXAMPLES = ("deploy/k8s/overlays/mine",)
"""Paths that an operator creates."""


def git(*arguments: str) -> str:
    command = ["git", "-c", "safe.directory=*", *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=60).stdout


def markdown_files() -> list[Path]:
    """Return the Markdown files that are committed or would be."""
    names = git("ls-files", "--cached", "--others", "--exclude-standard", "*.md").splitlines()
    return [path for name in names if (path := ROOT / name).is_file()]


@cache
def anchors(path: Path) -> frozenset[str]:
    """Return the anchors of a Markdown file: its headings as GitHub names them, and `<a id>` elements."""
    text = path.read_text(encoding="utf-8")
    without_blocks = re.sub(r"```.*?```", "", text, flags=re.DOTALL)
    slugs = (
        re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-")
        for heading in HEADING.findall(without_blocks)
    )
    return frozenset([*slugs, *HTML_ANCHOR.findall(text)])


def broken_links(path: Path, text: str) -> Iterator[str]:
    """Yield a sentence for each relative link without a target."""
    for link in LINK.findall(CODE.sub("", text)):
        if re.match(r"[a-z]+:", link):
            continue
        name, _, anchor = link.partition("#")
        target = (path.parent / name) if name else path
        if not target.exists():
            yield f"the link {link} has no target"
        elif anchor and target.suffix == ".md" and anchor not in anchors(target.resolve()):
            yield f"the link {link} names a heading that does not exist"


@cache
def tracked_files() -> tuple[str, ...]:
    """Return the paths of the files that are committed or would be, each after a slash."""
    return tuple(f"/{name}" for name in git("ls-files", "--cached", "--others", "--exclude-standard").splitlines())


@cache
def top_level() -> frozenset[str]:
    """Return the names in the root of the clone."""
    return frozenset(Path(name).parts[1] for name in tracked_files())


def exists(name: str, folder: Path) -> bool:
    """Return whether a path exists in the root or in a folder, or is created by a command and ignored by git."""
    is_example = name.startswith(EXAMPLES) or bool(git("check-ignore", name, f"{name}/"))
    return (ROOT / name).exists() or (folder / name).exists() or is_example


def missing_paths(path: Path, text: str) -> Iterator[str]:
    """Yield a sentence for each path in code that begins at the root of the clone and does not exist."""
    for code in CODE.findall(text):
        for name in (found.rstrip("./") for found in PATH.findall(code)):
            if name.split("/")[0] in top_level() and not exists(name, path.parent):
                yield f"the path {name} does not exist"
    for name in MODULE.findall(text):
        if not any(tracked.endswith(f"/{name}") for tracked in tracked_files()):
            yield f"no file has the path {name}"


def unknown_targets(text: str) -> Iterator[str]:
    """Yield a sentence for each make target in code that the Makefile does not have."""
    known = set(TARGET.findall((ROOT / "Makefile").read_text(encoding="utf-8")))
    for code in CODE.findall(text):
        for name in MAKE.findall(code):
            if name not in known:
                yield f"make has no target {name}"


def findings(path: Path) -> Iterator[str]:
    """Yield a sentence for each fault of a Markdown file."""
    text = path.read_text(encoding="utf-8")
    yield from broken_links(path, text)
    if not str(path.relative_to(ROOT)).startswith(HISTORICAL):
        yield from missing_paths(path, text)
        yield from unknown_targets(text)


def main() -> None:
    """Print the findings; exit with status 1 if there are any."""
    report = [f"{path.relative_to(ROOT)}: {finding}" for path in markdown_files() for finding in findings(path)]
    if report:
        sys.exit("\n".join(dict.fromkeys(report)))


if __name__ == "__main__":
    main()
