"""Canaries: no password, token, key, prompt or answer is in a log, trace, metric, error body or dead letter."""

import json
import secrets
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx2
import pytest
from aio_pika import connect

from parley_testing import eventually
from parley_testing.backends.private_servers import PrivateBackends
from parley_testing.http.client import UserClient, open_http, register
from parley_testing.stacks.administrators import make_administrator
from parley_testing.stacks.embedded import EmbeddedStack
from parley_testing.stacks.separate_processes import SeparateStack
from parley_testing.telemetry.span_collector import SpanCollector

pytestmark = pytest.mark.e2e
TOKEN = "/api/v1/auth/token"
MIN_ERROR = 400
EXPORT_TIMEOUT = 20.0
PAGES = ("metrics", "status")
FAILURES = ("status=401 leak_key", "status=500 leak_key", "cut_after=2 tokens=9")


@dataclass
class CanaryTraffic:
    """One person's requests, each with canaries, and the bodies of the errors."""

    user: UserClient
    marks: dict[str, str] = field(default_factory=dict)
    errors: list[str] = field(default_factory=list)
    models: tuple[str, ...] = ("default",)
    """Models that are called through Anthropic's protocol."""
    is_admin: bool = False
    """Whether the person may create webhooks."""

    def mark(self, name: str) -> str:
        """Return a canary that is not seen before."""
        return self.marks.setdefault(name, f"canary-{name}-{secrets.token_hex(8)}")

    async def send(self, method: str, path: str, **options: Any) -> httpx2.Response:
        """Send a request with the user's token; keep the body of an error."""
        response = await self.user.request(method, path, **options)
        if response.status_code >= MIN_ERROR:
            self.errors.append(response.text)
        return response

    async def run(self) -> None:
        """Use everything that takes a secret or a text, rightly and wrongly."""
        await self._credentials()
        await self._turns()
        await self._other_protocols()
        await self._files()
        if self.is_admin:
            await self._webhooks()
        await self._wrong_requests()

    async def _credentials(self) -> None:
        user, wrong = self.user, self.mark("wrong-password")
        self.marks |= {"password": user.password, "access": user.tokens["access_token"]}
        self.marks["refresh"] = user.tokens["refresh_token"]
        refresh = {"grant_type": "refresh_token", "refresh_token": user.tokens["refresh_token"]}
        await self.send("POST", TOKEN, data={"grant_type": "password", "username": user.username, "password": wrong})
        body = {"current_password": wrong, "new_password": self.mark("new-password")}
        await self.send("POST", "/api/v1/auth/password", json=body)
        created = await self.send("POST", "/api/v1/auth/api-keys", json={"name": self.mark("key-name")})
        self.marks["api-key"] = created.json()["key"]
        for key in (self.marks["api-key"], self.mark("unknown-key")):
            await self.send("GET", "/api/v1/models", headers={"Authorization": f"Bearer {key}"})
        successor = (await self.send("POST", TOKEN, data=refresh)).json()
        self.marks |= {"refreshed": successor["refresh_token"], "second-access": successor["access_token"]}

    async def _turns(self) -> None:
        prompt, answer, system = self.mark("prompt"), self.mark("answer"), self.mark("system")
        await self.user.chat(f"{prompt} [[fake text='{answer}']]")
        async for _ in self.user.stream(f"{prompt} [[fake text='{answer}']]"):
            pass
        webhook = self.mark("whsec")
        body = {
            "model": "default",
            "messages": [{"role": "system", "content": system}, {"role": "user", "content": f"{prompt} {webhook}"}],
            "metadata": {"webhook_secret": webhook},
        }
        await self.send("POST", "/v1/chat/completions", json=body)
        for failure in FAILURES:
            await self.send("POST", "/api/v1/chat", json={"message": f"{prompt} [[fake {failure}]]"})
        await self.send("GET", f"/api/v1/search?q={self.mark('search')}")

    async def _other_protocols(self) -> None:
        prompt, system = self.mark("other-prompt"), self.mark("instructions")
        for failure in ("tokens=2", *FAILURES):
            text = f"{prompt} [[fake {failure}]]"
            body: dict[str, Any] = {"model": "default", "input": text, "instructions": system}
            answers = [await self.send("POST", "/v1/responses", json=body | {"metadata": {"note": self.mark("note")}})]
            body = {"max_tokens": 9, "system": system, "messages": [{"role": "user", "content": text}]}
            answers += [await self.send("POST", "/v1/messages", json=body | {"model": model}) for model in self.models]
            assert failure != "tokens=2" or all(answer.is_success for answer in answers)
        await self.user.http.post("/v1/messages", json=body, headers={"x-api-key": self.marks["api-key"]})
        wrong = [{"type": self.mark("input-type"), "content": prompt}]
        await self.send("POST", "/v1/responses", json={"model": "default", "input": wrong})

    async def _files(self) -> None:
        name, text = self.mark("file-name"), self.mark("file-text")
        await self.send("POST", "/v1/files", files={"file": (f"{name}.txt", text)}, data={"purpose": "user_data"})
        await self.send("POST", "/v1/files", files={"file": (f"{name}.txt", text)}, data={"purpose": text})
        await self.send("GET", f"/v1/files/{name}")

    async def _webhooks(self) -> None:
        url, events = f"https://receiver.invalid/{self.mark('webhook-url')}", ["conversation.turn.*"]
        body = {"url": url, "events": events, "scope": "all"}
        created = await self.send("POST", "/api/v1/webhooks", json=body)
        self.marks["webhook-secret"] = created.json()["secret"]
        webhook = f"/api/v1/webhooks/{created.json()['id']}"
        rotated = await self.send("POST", f"{webhook}/secret", json={})
        self.marks["webhook-secret-2"] = rotated.json()["secret"]
        await self.send("POST", f"{webhook}/test", json={})
        await self.user.chat(self.mark("delivered-prompt"))
        wrong = {"url": f"ftp://x/{self.mark('wrong-url')}", "events": events}
        await self.send("POST", "/api/v1/webhooks", json=wrong)

    async def _wrong_requests(self) -> None:
        text = self.mark("wrong-body")
        json_type = {"content-type": "application/json"}
        await self.send("POST", "/api/v1/chat", content=f'{{"message": "{text}"', headers=json_type)
        await self.send("POST", "/api/v1/chat", json={"message": 7, "unknown": text})
        await self.send("POST", "/api/v1/auth/register", json={"username": "", "password": self.mark("register")})
        await self.send("GET", f"/api/v1/{self.mark('path')}?access_token={self.marks['second-access']}")
        headers = {"Cookie": f"parley_refresh={self.mark('cookie')}", "X-Hub-Signature-256": self.mark("signature")}
        await self.send("GET", "/api/v1/auth/me", headers=headers)

    def found_in(self, text: str | bytes) -> list[str]:
        """Return the names of the canaries in a text."""
        raw = text.encode() if isinstance(text, str) else text
        return [name for name, mark in self.marks.items() if mark.encode() in raw]

    def found_in_errors(self) -> list[str]:
        """Return the canaries in the bodies of errors. The path of an error's own request is its `instance`."""
        bodies = [json.loads(body) for body in self.errors]
        return self.found_in(json.dumps([body | {"instance": ""} for body in bodies]))


def logs_below(folder: Path) -> dict[str, bytes]:
    """Return every log of a stack, by its name."""
    return {path.name: path.read_bytes() for path in folder.rglob("*.log*") if path.is_file()}


@pytest.fixture
async def traffic() -> AsyncIterator[CanaryTraffic]:
    async with open_http() as http:
        yield CanaryTraffic(UserClient(http, "", ""))


async def use(traffic: CanaryTraffic, stack: EmbeddedStack | SeparateStack, spans: SpanCollector) -> None:
    """Send the traffic, in separate processes as an administrator, and wait for the traces of its last request."""
    traffic.user.http.base_url = httpx2.URL(stack.url)
    traffic.user = await register(traffic.user.http)
    if isinstance(stack, SeparateStack):
        await make_administrator(stack, traffic.user)
        traffic.is_admin = True
    before = len(spans.spans)
    await traffic.run()
    await eventually(lambda: len(spans.spans) > before, within=EXPORT_TIMEOUT)


async def test_no_canary_leaves_the_embedded_profile(
    embedded: EmbeddedStack,
    embedded_spans: SpanCollector,
    provider_key: str,
    anthropic_key: str,
    anthropic_model: str,
    traffic: CanaryTraffic,
) -> None:
    traffic.marks |= {"provider-key": provider_key, "anthropic-key": anthropic_key}
    traffic.models = ("default", anthropic_model)
    await use(traffic, embedded, embedded_spans)
    async with open_http() as http:
        pages = [await http.get(f"http://127.0.0.1:{embedded.admin_port + n}/metrics") for n in range(4)]
        pages += [await http.get(f"http://127.0.0.1:{embedded.admin_port + n}/status") for n in range(4)]

    logs = logs_below(embedded.folder)
    assert b'"route":"/api/v1/chat"' in logs["parley.log"], "the log has no requests: its level is too high"
    assert {name: found for name, text in logs.items() if (found := traffic.found_in(text))} == {}
    assert traffic.found_in(embedded_spans.raw) == []
    assert traffic.found_in("".join(page.text for page in pages)) == []
    assert len(traffic.errors) >= 8
    assert traffic.found_in_errors() == []


async def test_no_canary_leaves_the_separate_processes(
    separate: SeparateStack,
    spans: SpanCollector,
    private_backends: PrivateBackends,
    provider_key: str,
    traffic: CanaryTraffic,
) -> None:
    traffic.marks |= {"provider-key": provider_key, **secrets_of(separate.folder)}
    await use(traffic, separate, spans)
    async with open_http() as http:
        pages = [await http.get(f"{each.admin_url}/{page}") for each in separate.everything for page in PAGES]

    logs = logs_below(separate.folder)
    assert len(logs) >= len(separate.everything)
    assert {name: found for name, text in logs.items() if (found := traffic.found_in(text))} == {}
    assert traffic.found_in(spans.raw) == []
    assert traffic.found_in("".join(page.text for page in pages)) == []
    assert len(traffic.errors) >= 8
    assert traffic.found_in_errors() == []
    assert traffic.found_in(await dead_letters(private_backends.rabbitmq.url)) == []


def secrets_of(folder: Path) -> dict[str, str]:
    """Return the secret files of every service."""
    return {str(path.relative_to(folder)): path.read_text() for path in folder.glob("*-secrets/*")}


async def dead_letters(url: str) -> bytes:
    """Return the dead letters of Parley's queues with their headers, and leave them there."""
    found = []
    async with await connect(url, timeout=10) as connection:
        channel = await connection.channel()
        queue = await channel.get_queue("parley.dead", ensure=False)
        while message := await queue.get(fail=False, timeout=10):
            found.append(message.body + repr(message.headers).encode())
    return b"".join(found)
