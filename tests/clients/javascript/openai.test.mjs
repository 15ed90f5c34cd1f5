// OpenAI's JavaScript client, with only another base URL and one of our keys.
import assert from "node:assert/strict";
import { test } from "node:test";
import OpenAI from "openai";

const { PARLEY_TEST_URL: url, PARLEY_TEST_KEY: apiKey } = process.env;
const client = new OpenAI({ baseURL: `${url}/v1`, apiKey, maxRetries: 0 });
const said = (content) => ({ model: "default", messages: [{ role: "user", content }] });

test("models are listed", async () => {
  const found = await client.models.list();
  assert.ok(found.data.some((model) => model.id === "default"));
});

test("a completion is whole and metered", async () => {
  const found = await client.chat.completions.create(said("Hi [[fake tokens=3]]"));
  assert.equal(found.choices[0].message.content, "t1 t2 t3");
  assert.equal(found.usage.completion_tokens, 3);
});

test("a stream ends with the usage that was asked for", async () => {
  const asked = { ...said("Hi [[fake tokens=4]]"), stream: true, stream_options: { include_usage: true } };
  let text = "";
  let usage;
  for await (const chunk of await client.chat.completions.create(asked)) {
    text += chunk.choices[0]?.delta.content ?? "";
    usage = chunk.usage ?? usage;
  }
  assert.equal(text, "t1 t2 t3 t4");
  assert.equal(usage.completion_tokens, 4);
});

test("what is refused raises the client's own error with our code", async () => {
  const unknown = client.chat.completions.create({ ...said("Hi"), model: "none" });
  await assert.rejects(unknown, (error) => error instanceof OpenAI.NotFoundError && error.code === "model_not_found");
  const stranger = new OpenAI({ baseURL: `${url}/v1`, apiKey: "parley_none", maxRetries: 0 });
  await assert.rejects(stranger.models.list(), OpenAI.AuthenticationError);
});

test("a provider that breaks off in a stream raises", async () => {
  const stream = await client.chat.completions.create({ ...said("Hi [[fake cut_after=2]]"), stream: true });
  await assert.rejects(async () => {
    for await (const chunk of stream) assert.ok(chunk);
  }, OpenAI.APIError);
});
