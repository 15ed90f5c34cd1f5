"""Examples of a Markdown guide as programs, with what each of them prints."""

import re
from dataclasses import dataclass
from pathlib import Path

BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


@dataclass(frozen=True, slots=True)
class GuideProgram:
    """The examples of one guide in one language, in order: each continues the one before."""

    guide: str
    code: str
    output: str
    """The blocks of text that follow the examples."""


def programs(folder: Path, language: str) -> list[GuideProgram]:
    """Return the program of each guide of a folder that has examples in this language."""
    found = []
    for path in sorted(folder.glob("*.md")):
        code, output, current = "", "", ""
        for kind, text in BLOCK.findall(path.read_text(encoding="utf-8")):
            current = current if kind == "text" else kind
            if current == language:
                code, output = (code, output + text) if kind == "text" else (f"{code}{text}\n", output)
        if code:
            found.append(GuideProgram(path.stem, code, output))
    return found
