"""Fakes for unit tests of the gateway's stages."""

import asyncio
import socket
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from uuid import UUID

from gateway.access.client_addresses import ClientAddresses
from gateway.access.plans import GatewayPlan
from gateway.access.stream_leases import StreamLeases
from gateway.request import Caller, Request
from parley.ids import new_id
from parley.ratelimit.limiter import Decision, Limit, LimitState, TokenSession
from parley.security.identity import Principal
from parley_testing.security.token_issuer import TestIssuer


@dataclass
class FakeLimitChecker:
    """Returns configured decisions, and records the checks."""

    refuses: bool = False
    refused_policies: set[str] = field(default_factory=set)
    error: BaseException | None = None
    revoked: set[str] = field(default_factory=set)
    revocations_known: bool = True
    checks: list[tuple[tuple[Limit, ...], int]] = field(default_factory=list)

    async def check(self, limits: Sequence[Limit], *, cost: int = 1, session: TokenSession | None = None) -> Decision:
        if self.error is not None:
            raise self.error
        self.checks.append((tuple(limits), cost))
        refusing = self.refuses or (limits and limits[0].policy in self.refused_policies)
        refused = limits[0] if refusing and limits else None
        return Decision(
            allowed=refused is None,
            revoked=session is not None and session.session_id in self.revoked,
            refused=refused,
            retry_after=1.5 if refused else 0.0,
            limits=limits,
            states=[LimitState(limit.burst - cost, 1.0) for limit in limits],
            revocations_known=self.revocations_known,
            at=1,
        )

    @property
    def policies(self) -> list[str]:
        """The policies of the limits that were checked, in order."""
        return [limit.policy for limits, _ in self.checks for limit in limits]


class FakeStreamLeases(StreamLeases):
    """Leases in memory. Fakes that share ``held`` are the processes of one gateway."""

    def __init__(self, held: dict[str, str] | None = None) -> None:
        self.held: dict[str, str] = {} if held is None else held
        """The user of each lease."""

    async def acquire(self, user: str, limit: int) -> str | None:
        await asyncio.sleep(0)
        if list(self.held.values()).count(user) >= limit:
            return None
        token = str(new_id())
        self.held[token] = user
        return token

    async def release(self, token: str) -> None:
        self.held.pop(token, None)


class FakeTransport(asyncio.Transport):
    """Records what a connection does with its transport."""

    def __init__(self) -> None:
        super().__init__()
        self.paused = self.aborted = False
        self.written = b""

    def get_extra_info(self, name: str, default: object = None) -> object:
        return default

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.written += bytes(data)

    def pause_reading(self) -> None:
        self.paused = True

    def resume_reading(self) -> None:
        self.paused = False

    def abort(self) -> None:
        self.aborted = True

    def is_closing(self) -> bool:
        return self.aborted


class VanishedPeer(FakeTransport):
    """A transport whose socket repeats bytes that nobody acknowledges."""

    family = socket.AF_INET

    def get_extra_info(self, name: str, default: object = None) -> object:
        return self

    def getsockopt(self, _level: int, _option: int, size: int) -> bytes:
        return struct.pack("=2xB21xI28xI44x", 5, 1, 11_000)[:size]


def make_request(headers: Mapping[str, str] | None = None, *, method: str = "GET", path: str = "/") -> Request:
    """Return a request from 127.0.0.1."""
    request = Request({
        "type": "http",
        "method": method,
        "raw_path": path.encode(),
        "query_string": b"",
        "headers": [(name.encode(), value.encode()) for name, value in (headers or {}).items()],
        "client": ("127.0.0.1", 1),
    })  # fmt: skip
    ClientAddresses([], per_minute=120).locate(request)
    return request


def make_caller(user: UUID | None = None, *, max_streams: int = 20) -> Caller:
    """Return a caller on the default plan."""
    claims = TestIssuer().claims(user)
    principal = Principal(
        user_id=UUID(claims["sub"]),
        scopes=frozenset(claims["scope"].split()),
        plan="default",
        session_id=claims["sid"],
        client_id=claims["client_id"],
        issued_at=claims["iat"],
        auth_time=None,
        expires_at=claims["exp"],
        token="token",
    )
    plan, name = GatewayPlan(), str(principal.user_id)
    return Caller(
        principal, limits=plan.limits(name), strict_limits=plan.limits(name, strict=True), max_streams=max_streams
    )
