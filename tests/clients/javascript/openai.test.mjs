// OpenAI's JavaScript client, with only another base URL and one of our keys.
import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { test } from "node:test";
import OpenAI, { toFile } from "openai";

const { PARLEY_TEST_URL: url, PARLEY_TEST_KEY: apiKey } = process.env;
const client = new OpenAI({ baseURL: `${url}/v1`, apiKey, maxRetries: 0 });
const said = (content) => ({ model: "default", messages: [{ role: "user", content }] });

// [covers models]
test("models are listed", async () => {
  const found = await client.models.list();
  assert.ok(found.data.some((model) => model.id === "default"));
});

// [covers chat completions, usage]
test("a completion is whole and metered", async () => {
  const found = await client.chat.completions.create(said("Hi [[fake tokens=3]]"));
  assert.equal(found.choices[0].message.content, "t1 t2 t3");
  assert.equal(found.usage.completion_tokens, 3);
});

// [covers chat completions, stream, usage]
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

// [covers errors]
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

const WEATHER = { type: "function", name: "weather", parameters: { type: "object", properties: {} }, strict: false };

// [covers responses, usage]
test("a response is whole, metered and retrieved as it was", async () => {
  const made = await client.responses.create({ model: "default", input: "A response [[fake tokens=3]]" });
  assert.deepEqual([made.output_text, made.usage.output_tokens], ["t1 t2 t3", 3]);
  assert.equal((await client.responses.retrieve(made.id)).output_text, "t1 t2 t3");
});

// [covers responses, stream]
test("a response is streamed with a number for each event", async () => {
  const numbers = [];
  let text = "";
  const asked = { model: "default", input: "Hi [[fake tokens=4]]", stream: true };
  for await (const event of await client.responses.create(asked)) {
    numbers.push(event.sequence_number);
    if (event.type === "response.output_text.delta") text += event.delta;
  }
  assert.equal(text, "t1 t2 t3 t4");
  assert.deepEqual(numbers, [...numbers.keys()]);
});

// [covers responses, background, resume, stop]
test("a response in the background is resumed behind an event and cancelled", async () => {
  const asked = { model: "default", input: "Hi [[fake endless rate=20]]", background: true, stream: true };
  let id, last;
  for await (const event of await client.responses.create(asked)) {
    id = event.response?.id ?? id;
    last = event.sequence_number;
    if (last > 8) break;
  }
  const rest = await client.responses.retrieve(id, { stream: true, starting_after: last });
  const first = (await rest[Symbol.asyncIterator]().next()).value;
  assert.equal(first.sequence_number, last + 1);
  rest.controller.abort();
  assert.equal((await client.responses.cancel(id)).status, "cancelled");
});

// [covers responses, tools]
test("outputs of tools continue the response", async () => {
  const asked = { model: "default", tools: [WEATHER] };
  const made = await client.responses.create({ ...asked, input: `Weather? ${randomUUID()} [[fake tool_calls=2 times=1]]` });
  const calls = made.output.filter((item) => item.type === "function_call");
  const input = calls.map(({ call_id }) => ({ type: "function_call_output", call_id, output: "Sun" }));
  assert.equal(calls.length, 2);
  const answer = await client.responses.create({ ...asked, input, previous_response_id: made.id });
  assert.ok(answer.output_text.startsWith("t1 t2"));
});

// [covers conversations]
test("a conversation is continued, listed and deleted", async () => {
  const key = process.env.PARLEY_TEST_TOKEN;
  const person = new OpenAI({ baseURL: `${url}/v1`, apiKey: key, maxRetries: 0 });
  const conversation = (await person.conversations.create()).id;
  await person.responses.create({ model: "default", input: "Hi [[fake tokens=1]]", conversation });
  const items = [];
  for await (const item of person.conversations.items.list(conversation, { order: "asc" })) items.push(item.role);
  assert.deepEqual(items, ["user", "assistant"]);
  assert.ok((await person.conversations.delete(conversation)).deleted);
});

// [covers files, responses]
test("a file is uploaded, listed, read, part of a response and deleted", async () => {
  const text = "We launch on Tuesday.";
  const made = await client.files.create({ file: await toFile(Buffer.from(text), "plan.txt"), purpose: "user_data" });
  assert.deepEqual([made.filename, made.bytes, made.purpose], ["plan.txt", text.length, "user_data"]);
  assert.deepEqual(await client.files.retrieve(made.id), made);
  const listed = [];
  for await (const file of client.files.list({ limit: 1 })) listed.push(file.id);
  assert.ok(listed.includes(made.id));
  assert.equal(await (await client.files.content(made.id)).text(), text);
  const content = [
    { type: "input_text", text: "What does it say? [[fake mode=echo]]" },
    { type: "input_file", file_id: made.id },
  ];
  const found = await client.responses.create({ model: "default", input: [{ role: "user", content }] });
  assert.ok(found.output_text.includes(text));
  assert.ok((await client.files.delete(made.id)).deleted);
  await assert.rejects(client.files.retrieve(made.id), (error) => error instanceof OpenAI.NotFoundError);
});

// [covers embeddings]
test("texts become embeddings", async () => {
  const found = await client.embeddings.create({ model: "vectors", input: ["one", "two words"], dimensions: 4 });
  assert.deepEqual(found.data.map(({ embedding }) => embedding.length), [4, 4]);
  assert.equal(found.usage.prompt_tokens, 3);
});

// [covers responses, structured output]
test("an answer is parsed by the schema that was sent", async () => {
  const schema = { type: "object", properties: { day: { type: "string" } }, required: ["day"], additionalProperties: false };
  const found = await client.responses.parse({
    model: "default",
    input: `When? [[fake text="{\\"day\\": \\"Tuesday\\"}"]]`,
    text: { format: { type: "json_schema", name: "day", schema, strict: true } },
  });
  assert.equal(found.text.format.type, "json_schema");
  assert.equal(found.output_text, '{"day": "Tuesday"}');
});
