// OpenAI's Agents SDK for JavaScript, with only another client.
import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { test } from "node:test";
import { Agent, OpenAIProvider, Runner, setTracingDisabled, tool } from "@openai/agents";
import { z } from "zod";

const { PARLEY_TEST_URL: url, PARLEY_TEST_KEY: apiKey } = process.env;
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
