"""docs/clients.md: the features that are tested with each third-party client, from comments in the tests."""

import json
import re
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[4]
TESTS = ROOT / "tests/clients"
COVERS = re.compile(r"^ *(?:#|//) \[covers ([^\]]+)\]$", re.MULTILINE)
FEATURES = (
    "models",
    "chat completions",
    "responses",
    "conversations",
    "embeddings",
    "messages",
    "ui messages",
    "stream",
    "usage",
    "tools",
    "structured output",
    "files",
    "compaction",
    "background",
    "resume",
    "websocket",
    "stop",
    "regenerate",
    "idempotency",
    "errors",
)
HEAD = """# Tested clients

Each client runs with tests of its own against the product; only the URL and the key are Parley's. A feature is listed
where a test uses it. `make test-clients` runs them all; those without a star are also part of `make test`.

"""
STARRED = " *"


@dataclass(frozen=True, slots=True)
class TestedClient:
    """A client: its package, the tests that use it, and the file that pins it."""

    name: str
    package: str
    tests: tuple[str, ...]
    lock: Path

    @property
    def version(self) -> str:
        """Return the pinned version; raises LookupError if the file does not pin the package."""
        text = self.lock.read_text(encoding="utf-8")
        if self.lock.suffix == ".json":
            return str(json.loads(text)["packages"][f"node_modules/{self.package}"]["version"])
        found = re.search(rf"^{re.escape(self.package)}==(\S+)", text, re.MULTILINE)
        if found is None:
            raise LookupError(f"{self.lock} does not pin {self.package}")
        return found.group(1)

    def features(self) -> set[str]:
        """Return the features that the tests use; raises ValueError for an unknown one."""
        texts = ((TESTS / name).read_text(encoding="utf-8") for name in self.tests)
        found = {feature.strip() for text in texts for line in COVERS.findall(text) for feature in line.split(",")}
        if unknown := found - set(FEATURES):
            raise ValueError(f"unknown features in {self.tests}: {sorted(unknown)}")
        return found


_PYTHON = ROOT / "requirements/testing.txt"
_JAVASCRIPT = TESTS / "javascript/package-lock.json"
_FRAMEWORKS = ROOT / "requirements/client-frameworks.txt"
CLIENTS = (
    TestedClient(
        "OpenAI, Python",
        "openai",
        ("test_openai_python.py", "test_openai_responses.py", "test_openai_conversations.py"),
        _PYTHON,
    ),
    TestedClient("OpenAI, JavaScript", "openai", ("javascript/openai.test.mjs",), _JAVASCRIPT),
    TestedClient("Anthropic, Python", "anthropic", ("test_anthropic_python.py",), _PYTHON),
    TestedClient("AI SDK", "ai", ("javascript/ai-sdk.test.mjs",), _JAVASCRIPT),
    TestedClient("AI SDK, useChat", "@ai-sdk/react", ("javascript/use-chat.test.mjs",), _JAVASCRIPT),
    TestedClient(f"OpenAI Agents, Python{STARRED}", "openai-agents", ("frameworks/agents_sdk.py",), _FRAMEWORKS),
    TestedClient(
        f"OpenAI Agents, JavaScript{STARRED}",
        "@openai/agents",
        ("frameworks/agents.test.mjs",),
        TESTS / "frameworks/package-lock.json",
    ),
    TestedClient(
        f"LangChain, Python{STARRED}", "langchain-openai", ("frameworks/langchain_openai_chat.py",), _FRAMEWORKS
    ),
)


def page() -> str:
    """Render docs/clients.md: a row for each feature, a column for each client."""
    covered = [client.features() for client in CLIENTS]
    rows = [
        ["feature", *(client.name for client in CLIENTS)],
        ["---"] * (len(CLIENTS) + 1),
        ["version", *(f"`{client.package}` {client.version}" for client in CLIENTS)],
        *([feature, *("yes" if feature in found else "" for found in covered)] for feature in FEATURES),
    ]
    return HEAD + "".join(f"| {' | '.join(row)} |\n" for row in rows)
