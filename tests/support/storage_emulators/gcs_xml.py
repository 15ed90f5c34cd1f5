"""The XML API of Google Cloud Storage in front of fake-gcs-server, which has uploads in its JSON API only.

Parts of an upload are objects of fake-gcs-server, which composes them. All that is read, listed and removed is its own.
"""

import asyncio
import contextlib
import io
import itertools
import xml.etree.ElementTree as ET
from collections.abc import AsyncIterator
from urllib.parse import quote, unquote

import aiohttp
from aiohttp import web
from yarl import URL

PARTS = "parts/"
"""Prefix of the parts of uploads, which no prefix of a test begins with."""
SIGNED = "X-Goog-Algorithm=none"
"""What fake-gcs-server takes an upload without a type for."""
NO_BUCKET = "<Error><Code>NoSuchBucket</Code><Message>The specified bucket does not exist.</Message></Error>"
NO_KEY = "<Error><Code>NoSuchKey</Code><Message>The specified key does not exist.</Message></Error>"
MAX_BODY = 64 * 1_048_576


class XmlApi:
    """Translates the requests that are not understood there."""

    def __init__(self, url: str, session: aiohttp.ClientSession) -> None:
        self._url, self._session = url, session
        self._ids = itertools.count(1)

    async def handle(self, request: web.Request) -> web.Response:
        """Answer a request of the XML API."""
        bucket, _, key = request.raw_path.split("?")[0].lstrip("/").partition("/")
        status, _ = await self._call("GET", f"/storage/v1/b/{bucket}")
        if status == 404:
            return _xml(NO_BUCKET, status=404)
        upload, body = request.query.get("uploadId"), await request.read()
        if "uploads" in request.query:
            return _xml(
                f"<InitiateMultipartUploadResult><UploadId>{next(self._ids)}</UploadId></InitiateMultipartUploadResult>"
            )
        if upload is not None:
            return await self._upload(request, bucket, key, upload, body)
        return await (self._put(bucket, key, body) if request.method == "PUT" else self._pass_on(request))

    async def _upload(self, request: web.Request, bucket: str, key: str, upload: str, body: bytes) -> web.Response:
        if request.method == "PUT":
            return await self._put(bucket, _part(upload, int(request.query["partNumber"])), body)
        if request.method == "POST":
            return await self._complete(bucket, key, upload, body)
        await self._remove_parts(bucket, upload)
        return web.Response(status=204)

    async def _put(self, bucket: str, key: str, body: bytes) -> web.Response:
        status, _ = await self._call("PUT", f"/{bucket}/{key}?{SIGNED}", data=io.BytesIO(body))
        return web.Response(status=status, headers={"ETag": '"etag"'})

    async def _complete(self, bucket: str, key: str, upload: str, body: bytes) -> web.Response:
        numbers = [int(found.text or "") for found in ET.fromstring(body).iter() if found.tag.endswith("PartNumber")]
        sources = [{"name": unquote(_part(upload, number))} for number in numbers]
        path = f"/storage/v1/b/{bucket}/o/{quote(unquote(key), safe='')}/compose"
        status, _ = await self._call("POST", path, json={"sourceObjects": sources, "destination": {}})
        await self._remove_parts(bucket, upload)
        text = "<CompleteMultipartUploadResult><ETag>&quot;etag&quot;</ETag></CompleteMultipartUploadResult>"
        return _xml(text, status=status)

    async def _remove_parts(self, bucket: str, upload: str) -> None:
        for number in itertools.count(1):
            status, _ = await self._call("DELETE", f"/storage/v1/b/{bucket}/o/{_part(upload, number)}")
            if status == 404:
                return

    async def _pass_on(self, request: web.Request) -> web.Response:
        headers = {name: value for name, value in request.headers.items() if name.lower() in {"range", "accept"}}
        url = URL(f"{self._url}{request.raw_path}", encoded=True)
        async with self._session.request(request.method, url, headers=headers) as found:
            data = await found.read()
            if found.status == 404:
                return _xml(NO_KEY, status=404)
            kept = {
                name: value
                for name, value in found.headers.items()
                if name.lower() in {"content-type", "content-range", "etag", "last-modified", "x-goog-generation"}
            }
            return web.Response(status=found.status, body=data, headers=kept)

    async def _call(self, method: str, path: str, **options: object) -> tuple[int, bytes]:
        url = URL(f"{self._url}{path}", encoded=True)
        async with self._session.request(method, url, **options) as found:  # type: ignore[arg-type]
            return found.status, await found.read()


def _xml(text: str, *, status: int = 200) -> web.Response:
    return web.Response(status=status, text=text, content_type="application/xml")


def _part(upload: str, number: int) -> str:
    return quote(f"{PARTS}{upload}/{number}", safe="")


@contextlib.asynccontextmanager
async def xml_api(url: str) -> AsyncIterator[str]:
    """Serve the XML API of a fake-gcs-server; yields its address."""
    async with aiohttp.ClientSession() as session:
        app = web.Application(client_max_size=MAX_BODY)
        app.router.add_route("*", "/{path:.*}", XmlApi(url, session).handle)
        runner = web.AppRunner(app, shutdown_timeout=1)
        await runner.setup()
        try:
            site = web.TCPSite(runner, "127.0.0.1", 0)
            await site.start()
            yield f"http://127.0.0.1:{runner.addresses[0][1]}"
        finally:
            await runner.cleanup()
            await asyncio.sleep(0)
