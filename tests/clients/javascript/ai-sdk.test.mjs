// The AI SDK by way of its provider for OpenAI-compatible servers.
import assert from "node:assert/strict";
import { test } from "node:test";
import { createOpenAICompatible } from "@ai-sdk/openai-compatible";
import { APICallError, generateText, streamText } from "ai";

const { PARLEY_TEST_URL: url, PARLEY_TEST_KEY: apiKey } = process.env;
const parley = createOpenAICompatible({ name: "parley", baseURL: `${url}/v1`, apiKey, includeUsage: true });
const model = parley("default");

// [covers chat completions, usage]
test("text is generated and metered", async () => {
  const { text, usage, finishReason } = await generateText({ model, prompt: "Hi [[fake tokens=3]]" });
  assert.equal(text, "t1 t2 t3");
  assert.equal(finishReason, "stop");
  assert.equal(usage.outputTokens, 3);
});

// [covers chat completions, stream, usage]
test("text is streamed, with its usage at the end", async () => {
  const answer = streamText({ model, prompt: "Hi [[fake tokens=4]]" });
  let text = "";
  for await (const part of answer.textStream) text += part;
  assert.equal(text, "t1 t2 t3 t4");
  assert.equal((await answer.usage).outputTokens, 4);
});

// [covers errors]
test("a refusal is an API call error with its status", async () => {
  const refused = generateText({ model: parley("none"), prompt: "Hi", maxRetries: 0 });
  await assert.rejects(refused, (error) => APICallError.isInstance(error) && error.statusCode === 404);
});
