"""The package as another team installs it: its dependencies, its public names, and what importing it loads."""

import re
import subprocess
import sys
from importlib.metadata import requires
from pathlib import Path

import parley_events

ALLOWED = {"aio-pika", "aiormq", "pydantic"}
"""aiormq is a dependency of aio-pika: naming it installs nothing more."""
FOREIGN = ("parley", "parley_testing", "structlog", "orjson", "uuid_utils", "asyncpg", "redis", "yaml", "fastapi")


def loaded_after(statement: str) -> set[str]:
    """Return the top-level modules that a new interpreter has loaded after a statement."""
    program = f"{statement}\nimport sys\nprint(*{{name.partition('.')[0] for name in sys.modules}})"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    return set(done.stdout.split())


def test_the_package_without_extras_requires_only_the_amqp_client_and_pydantic() -> None:
    required = [each for each in requires("parley-events") or () if "extra ==" not in each]
    names = {re.split(r"[^\w.-]", requirement, maxsplit=1)[0] for requirement in required}
    assert names == ALLOWED


def test_the_package_installs_few_others() -> None:
    pins = (Path(__file__).parents[3] / "requirements/events.txt").read_text(encoding="utf-8")
    assert len(re.findall(r"^[\w.-]+==", pins, re.MULTILINE)) <= 15


def test_every_public_name_exists() -> None:
    assert all(getattr(parley_events, name) is not None for name in parley_events.__all__)


def test_every_model_of_an_event_is_a_public_name() -> None:
    assert {model.__name__ for model in parley_events.CATALOGUE} <= set(parley_events.__all__)


def test_an_unknown_name_is_an_attribute_error() -> None:
    assert not hasattr(parley_events, "Unknown")


def test_a_subscriber_loads_nothing_of_parley_and_no_undeclared_package() -> None:
    loaded = loaded_after("from parley_events import Subscriber; Subscriber('amqp://localhost', 'sub.q')")
    assert loaded.isdisjoint(FOREIGN)
    assert "aio_pika" in loaded


def test_event_models_do_not_load_the_amqp_client() -> None:
    assert "aio_pika" not in loaded_after("from parley_events import TurnEnded, CloudEvent, decode")
