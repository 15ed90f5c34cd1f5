// Unit tests of the client against a scripted `fetch`: streams that resume, credentials that are renewed.
import assert from "node:assert/strict";
import { test } from "node:test";

import { load } from "./bundle.mjs";

const { BrowserSession, NetworkError, Parley, ParleyError, TokenSession } = await load("client/src/index.ts");

const BASE = "http://parley.test";
const first = { turn_id: "t", conversation_id: "c", message_id: "t", user_message_id: "u", model: "m", delta: "", finished: false };
const delta = (text) => ({ turn_id: "t", conversation_id: "c", delta: text, finished: false });
const last = { turn_id: "t", conversation_id: "c", delta: "", finished: true, status: "completed", finish_reason: "stop" };

/** An SSE response with events numbered from `from`; it ends there, as a broken connection does. */
function stream(from, ...events) {
  const lines = events.map((event, index) => `id: ${from + index}\ndata: ${JSON.stringify(event)}\n\n`);
  return new Response(lines.join(""), { headers: { "content-type": "text/event-stream" } });
}

/** Answer each request with the next response, and return the requests. */
function script(...responses) {
  const requests = [];
  globalThis.fetch = async (input, init) => {
    requests.push(new Request(input, init));
    const next = responses.shift();
    if (next instanceof Error) throw next;
    return next;
  };
  return requests;
}

async function textOf(updates) {
  let text = "";
  for await (const update of updates) if (update.kind === "delta") text += update.text;
  return text;
}

const parley = () => new Parley({ baseUrl: BASE, session: new TokenSession("token") });

test("a broken stream is resumed after its last event, and nothing is lost or repeated", async () => {
  const requests = script(
    stream(1, first, delta("one ")),
    new TypeError("connection refused"),
    stream(2, delta("one "), delta("two "), last),
  );
  assert.equal(await textOf(parley().ask({ message: "Hi" })), "one two ");
  assert.deepEqual(requests.map((each) => each.headers.get("last-event-id")), [null, "2", "2"]);
  assert.equal(new URL(requests[2].url).pathname, "/api/v1/chat/turns/t/stream");
});

test("a request whose response was lost is sent again with the same idempotency key", async () => {
  const requests = script(new TypeError("connection reset"), stream(1, first, delta("one"), last));
  assert.equal(await textOf(parley().ask({ message: "Hi" })), "one");
  const keys = requests.map((each) => each.headers.get("idempotency-key"));
  assert.ok(keys[0]);
  assert.equal(keys[0], keys[1]);
});

test("a refused turn is not repeated", async () => {
  const problem = { code: "rate_limited", detail: "Slow down.", errors: [] };
  const requests = script(Response.json(problem, { status: 429, headers: { "retry-after": "8" } }));
  await assert.rejects(textOf(parley().ask({ message: "Hi" })), (error) => {
    assert.ok(error instanceof ParleyError);
    assert.deepEqual([error.code, error.retryAfter], ["rate_limited", 8]);
    return true;
  });
  assert.equal(requests.length, 1);
});

test("a busy server after a lost response is asked again, because the turn may run", async () => {
  const busy = Response.json({ code: "unavailable", detail: "Busy." }, { status: 503 });
  const requests = script(new TypeError("connection reset"), busy, stream(1, first, delta("one"), last));
  assert.equal(await textOf(parley().ask({ message: "Hi" })), "one");
  assert.equal(new Set(requests.map((each) => each.headers.get("idempotency-key"))).size, 1);
});

test("a server that only closes its streams is given up", async (context) => {
  const setTimer = globalThis.setTimeout;
  context.after(() => (globalThis.setTimeout = setTimer));
  globalThis.setTimeout = (run, milliseconds) => setTimer(run, milliseconds > 8_000 ? milliseconds : 0); // shortens the pauses
  let requests = 0;
  globalThis.fetch = async () => {
    requests += 1;
    return stream(1);
  };
  await assert.rejects(textOf(parley().ask({ message: "Hi" })), NetworkError);
  assert.equal(requests, 61);
});

test("an expired access token is renewed once, by the cookie, and the request repeated", async () => {
  const granted = (token) => Response.json({ access_token: token, expires_in: 900, scope: "chat:write" });
  const requests = script(
    granted("old"),
    Response.json({ code: "token_expired", detail: "Expired." }, { status: 401 }),
    granted("new"),
    Response.json({ data: [] }),
  );
  const session = new BrowserSession(BASE);
  await session.logIn("ada", "secret");
  await new Parley({ baseUrl: BASE, session }).api.GET("/api/v1/models");
  assert.deepEqual(requests.map((each) => each.headers.get("authorization")), [null, "Bearer old", null, "Bearer new"]);
  assert.equal(requests[2].headers.get("x-parley-client"), "web");
  assert.match(await requests[2].text(), /grant_type=refresh_token&token_delivery=cookie/);
});

test("a log-in waits for a renewal of the session before, whose end cannot undo it", async () => {
  const granted = (token) => Response.json({ access_token: token, expires_in: 900, scope: "chat:write" });
  let ended = false, refuse;
  const answers = [granted("old"), new Promise((resolve) => (refuse = resolve)), granted("new")];
  const requests = [];
  globalThis.fetch = async (input, init) => {
    requests.push(init.body.get("grant_type"));
    return answers.shift();
  };
  const session = new BrowserSession(BASE, () => (ended = true));
  await session.logIn("ada", "secret");
  const renewed = session.renew("old");
  const loggedIn = session.logIn("ada", "secret");
  await new Promise(setImmediate);
  assert.deepEqual(requests, ["password", "refresh_token"]);
  refuse(Response.json({ error: "invalid_grant" }, { status: 400 }));
  assert.equal(await renewed, null);
  await loggedIn;
  assert.equal(await session.token(), "new");
  assert.equal(ended, true, "the session before is over");
});

test("a server that cannot be reached is an error of the network", async () => {
  script(new TypeError("failed"));
  await assert.rejects(parley().api.GET("/api/v1/models"), NetworkError);
});

test("a log-out that the server did not hear keeps the session; a session that is over already is no error", async () => {
  const granted = Response.json({ access_token: "token", expires_in: 900, scope: "chat:write" });
  const over = Response.json({ error: "invalid_request" }, { status: 400 });
  script(granted, new TypeError("failed"), Response.json({}, { status: 503 }), over);
  const session = new BrowserSession(BASE);
  await session.logIn("ada", "secret");
  await assert.rejects(session.logOut(), NetworkError);
  await assert.rejects(session.logOut(), ParleyError);
  assert.equal(await session.token(), "token");
  await session.logOut();
  assert.equal(await session.token(), null);
});

test("a file is uploaded with a credential that is renewed once, and its bytes are downloaded", async () => {
  const granted = (token) => Response.json({ access_token: token, expires_in: 900, scope: "chat:write" });
  const expired = Response.json({ code: "token_expired", detail: "Expired." }, { status: 401 });
  const requests = script(granted("old"), expired, granted("new"), Response.json({ id: "f" }, { status: 201 }), new Response("bytes"));
  const session = new BrowserSession(BASE);
  await session.logIn("ada", "secret");
  const parley = new Parley({ baseUrl: BASE, session });
  assert.equal((await parley.upload(new Blob(["bytes"]), { name: "notes.txt" })).id, "f");
  const uploads = requests.filter((each) => each.url.endsWith("/api/v1/files"));
  assert.deepEqual(uploads.map((each) => each.headers.get("authorization")), ["Bearer old", "Bearer new"]);
  assert.equal((await uploads[1].formData()).get("file").name, "notes.txt");
  assert.equal(await (await parley.download("f")).text(), "bytes");
});

test("a refused file is an error with its code", async () => {
  script(Response.json({ code: "unsupported_media_type", detail: "No." }, { status: 415 }));
  await assert.rejects(parley().upload(new Blob(["x"])), (error) => error instanceof ParleyError && error.code === "unsupported_media_type");
});

test("a feed that ends before its first event continues where it began, and misses nothing", async () => {
  const event = 'id: c2\nevent: conversation.updated\ndata: {"data":{"title":"Plans"}}\n\n';
  const requests = script(new Response(": connected\nid: c1\n\n"), new Response(`: connected\nid: c1\n\n${event}`));
  const feed = parley().feed(AbortSignal.timeout(10_000));
  assert.deepEqual((await feed.next()).value, { type: "conversation.updated", data: { title: "Plans" } });
  assert.deepEqual(requests.map((each) => each.headers.get("last-event-id")), [null, "c1"]);
  await feed.return();
});
