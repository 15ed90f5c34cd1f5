// OpenAI's Agents SDK for JavaScript, with only another client.
import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { test } from "node:test";
import { Agent, OpenAIConversationsSession, OpenAIProvider, Runner, setTracingDisabled, tool } from "@openai/agents";
import { z } from "zod";

const { PARLEY_TEST_URL: url, PARLEY_TEST_KEY: apiKey, PARLEY_TEST_TOKEN: token } = process.env;
setTracingDisabled(true);
const runnerOf = (useResponses) =>
  new Runner({ modelProvider: new OpenAIProvider({ baseURL: `${url}/v1`, apiKey, useResponses }) });
const weather = tool({
  name: "weather",
  description: "The weather of a day.",
  parameters: z.object({ n: z.number() }),
  execute: async ({ n }) => `Day ${n}: sun`,
});
const agent = new Agent({ name: "a", model: "default", instructions: "Be short.", tools: [weather] });

// [covers responses]
test("an agent answers", async () => {
  const found = await runnerOf(true).run(agent, "Hi [[fake tokens=3]]");
  assert.equal(found.finalOutput, "t1 t2 t3");
});

// [covers responses, stream]
test("an answer is streamed", async () => {
  const found = await runnerOf(true).run(agent, "Hi [[fake tokens=4]]", { stream: true });
  let text = "";
  for await (const part of found.toTextStream()) text += part;
  assert.equal(text, "t1 t2 t3 t4");
});

// [covers responses, tools]
test("tools run until there is an answer", async () => {
  const found = await runnerOf(true).run(agent, `Weather? ${randomUUID()} [[fake tool_calls=2 times=1]]`);
  assert.equal(found.newItems.filter((item) => item.type === "tool_call_output_item").length, 2);
  assert.ok(found.finalOutput.startsWith("t1 t2"));
});

// [covers chat completions, tools]
test("an agent on chat completions answers", async () => {
  const found = await runnerOf(false).run(agent, `Weather? ${randomUUID()} [[fake tool_calls=1 times=1]]`);
  assert.ok(found.finalOutput.startsWith("t1 t2"));
});

// [covers errors]
test("an unknown model is an error of the client", async () => {
  const unknown = runnerOf(true).run(new Agent({ name: "a", model: "none" }), "Hi");
  await assert.rejects(unknown, (error) => error.status === 404);
});

// Sessions need an access token: a key has the scope `chat:write` alone, which does not read conversations.
const sessionOf = (conversationId) =>
  new OpenAIConversationsSession({ baseURL: `${url}/v1`, apiKey: token, conversationId });
const sessionRunner = new Runner({ modelProvider: new OpenAIProvider({ baseURL: `${url}/v1`, apiKey: token, useResponses: true }) });
const question = (content) => ({ type: "message", role: "user", content });
const textOf = ({ content }) => (typeof content === "string" ? content : content.map((part) => part.text).join(""));
const kindsOf = async (session) => (await session.getItems()).map((item) => item.type);

// [covers conversations]
test("items of a session are added, read, taken off and cleared", async () => {
  const session = sessionOf();
  const texts = Array.from({ length: 20 }, (_, number) => `Message ${number}`);
  await session.addItems(texts.map(question));
  assert.deepEqual((await session.getItems()).map(textOf), texts);
  assert.deepEqual((await session.getItems(2)).map(textOf), texts.slice(-2));
  assert.equal(textOf(await session.popItem()), texts.at(-1));
  assert.deepEqual((await session.getItems()).map(textOf), texts.slice(0, -1));
  const cleared = session.sessionId;
  await session.clearSession();
  assert.deepEqual(await session.getItems(), []);
  assert.notEqual(session.sessionId, cleared);
  assert.equal(await session.popItem(), undefined);
});

// [covers conversations, tools]
test("a session keeps the calls of tools and their results", async () => {
  const session = sessionOf();
  const found = await sessionRunner.run(agent, `Weather? ${randomUUID()} [[fake tool_calls=2 times=1]]`, { session });
  assert.ok(found.finalOutput.startsWith("t1 t2"));
  const calls = ["function_call", "function_call", "function_call_result", "function_call_result"];
  assert.deepEqual(await kindsOf(session), ["message", ...calls, "message"]);
  const again = await sessionRunner.run(agent, "And? [[fake tokens=2]]", { session });
  assert.equal(again.finalOutput, "t1 t2");
  assert.deepEqual((await session.getItems(2)).map(textOf), ["And? [[fake tokens=2]]", "t1 t2"]);
});

// [covers conversations, stream, tools]
test("a session is continued while answers are streamed", async () => {
  const session = sessionOf();
  for (const text of [`Weather? ${randomUUID()} [[fake tool_calls=1 times=1]]`, "And? [[fake tokens=3]]"]) {
    const found = await sessionRunner.run(agent, text, { session, stream: true });
    let shown = "";
    for await (const part of found.toTextStream()) shown += part;
    await found.completed;
    assert.equal(shown, found.finalOutput);
  }
  const kinds = ["message", "function_call", "function_call_result", "message", "message", "message"];
  assert.deepEqual(await kindsOf(session), kinds);
});

// [covers conversations]
test("an answer is taken back and asked for again, also by another session of the conversation", async () => {
  const session = sessionOf();
  await sessionRunner.run(agent, "Two and two? [[fake tokens=2]]", { session });
  assert.equal(textOf(await session.popItem()), "t1 t2");
  await session.popItem();
  const other = sessionOf(session.sessionId);
  const again = await sessionRunner.run(agent, "Two and three? [[fake tokens=3]]", { session: other });
  assert.equal(again.finalOutput, "t1 t2 t3");
  assert.deepEqual((await session.getItems()).map(textOf), ["Two and three? [[fake tokens=3]]", "t1 t2 t3"]);
});
