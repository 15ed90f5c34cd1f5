"""Load from inside a cluster until standard input closes, then its report as one line of JSON.

It runs in a pod, from the image of a service, and therefore imports nothing but httpx2 and the standard library.
Usage: python -m pod_traffic URL STREAMS RATE
"""

import asyncio
import contextlib
import json
import secrets
import sys

import httpx2
from pod_traffic.load import Load

MIN_USERS, STREAMS_OF_A_USER = 5, 4
"""A plan permits 20 open streams and turns."""
CONNECT_TIMEOUT, READ_TIMEOUT = 5.0, 20.0
"""A silent stream sends a ping every 15 s."""


async def sign_up_for_key(http: httpx2.AsyncClient) -> str:
    """Register a user and return an API key."""
    name, password = f"user-{secrets.token_hex(6)}", secrets.token_urlsafe(16)
    body = {"username": name, "email": f"{name}@example.org", "password": password}
    (await http.post("/api/v1/auth/register", json=body)).raise_for_status()
    form = {"grant_type": "password", "username": name, "password": password}
    token = (await http.post("/api/v1/auth/token", data=form)).raise_for_status().json()["access_token"]
    headers = {"Authorization": f"Bearer {token}"}
    key = {"name": "traffic", "scopes": ["chat:write", "history:read"]}
    made = await http.post("/api/v1/auth/api-keys", json=key, headers=headers)
    return str(made.raise_for_status().json()["key"])


async def main(url: str, streams: int, rate: float) -> None:
    """Sign up, say ``ready``, run until standard input closes, and print the report."""
    timeout = httpx2.Timeout(READ_TIMEOUT, connect=CONNECT_TIMEOUT)
    async with contextlib.AsyncExitStack() as opened:
        clients = [
            await opened.enter_async_context(httpx2.AsyncClient(base_url=url, timeout=timeout, trust_env=False))
            for _ in range(max(MIN_USERS, streams // STREAMS_OF_A_USER))
        ]
        for client in clients:
            client.headers["Authorization"] = f"Bearer {await sign_up_for_key(client)}"
        load = Load(clients, rate)
        running = asyncio.create_task(load.run(streams))
        print("ready", flush=True)
        await asyncio.to_thread(sys.stdin.read)
        load.ending.set()
        await running
        await load.check_history()
    print(json.dumps(vars(load.report)), flush=True)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], int(sys.argv[2]), float(sys.argv[3])))
