// The chat of the AI SDK's useChat, without React: what the hook renders is the state of this object.
import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { test } from "node:test";
import { Chat } from "@ai-sdk/react";
import { DefaultChatTransport, lastAssistantMessageIsCompleteWithToolCalls } from "ai";

const { PARLEY_TEST_URL: url, PARLEY_TEST_TOKEN: token } = process.env;
const api = `${url}/api/v1/chat/ui`;
const headers = { Authorization: `Bearer ${token}` };
const transport = (body) => new DefaultChatTransport({ api, headers, body });
const chatOf = (id = randomUUID(), options = {}) => new Chat({ id, transport: transport(options.body), ...options });
const textOf = (message) => message.parts.map((part) => (part.type === "text" ? part.text : "")).join("");
const get = async (path) => (await fetch(`${url}/api/v1${path}`, { headers })).json();
const answers = ({ lastMessage: last }, text) => last?.role === "assistant" && textOf(last).includes(text);

async function stop(chat) {
  const stopped = await fetch(`${api}/${chat.id}/stop`, { method: "POST", headers });
  assert.equal(stopped.status, 204);
}

async function until(holds) {
  for (let tries = 0; tries < 1000; tries += 1) {
    if (holds()) return;
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  assert.fail(`never true: ${holds}`);
}

// [covers ui messages, stream, usage, regenerate]
test("messages are streamed, follow each other and are in the history", async () => {
  const chat = chatOf();
  await chat.sendMessage({ text: "Hi [[fake tokens=3]]" });
  assert.equal(chat.error, undefined);
  assert.equal(textOf(chat.lastMessage), "t1 t2 t3");
  assert.equal(chat.lastMessage.metadata.usage.completion_tokens, 3);
  await chat.sendMessage({ text: "And? [[fake tokens=2]]" });
  await chat.regenerate();
  assert.equal(textOf(chat.lastMessage), "t1 t2");
  const { data } = await get(`/conversations/${chat.id}/messages?wait_for=${chat.lastMessage.id}`);
  assert.deepEqual(data.map((message) => message.role), ["user", "assistant", "user", "assistant"]);
  assert.equal(data[3].id, chat.lastMessage.id);
  assert.equal(data[3].sibling_ids.length, 1);
});

// [covers ui messages, resume]
test("a page that is loaded again resumes the answer", async () => {
  const chat = chatOf();
  const sending = chat.sendMessage({ text: "Hi [[fake endless rate=20]]" });
  await until(() => answers(chat, "t3"));
  const reloaded = chatOf(chat.id, { messages: chat.messages.slice(0, 1) });
  const resuming = reloaded.resumeStream();
  await until(() => answers(reloaded, "t5"));
  await stop(chat);
  await Promise.all([sending, resuming]);
  assert.ok(textOf(chat.lastMessage).startsWith("t1 t2 t3"));
  assert.deepEqual(reloaded.lastMessage.parts, chat.lastMessage.parts);
  await reloaded.resumeStream();
  assert.equal(reloaded.status, "ready");
});

// [covers ui messages, stop]
test("a stopped answer keeps its text and ends every stream", async () => {
  const chat = chatOf();
  const sending = chat.sendMessage({ text: "Hi [[fake endless rate=20]]" });
  await until(() => answers(chat, "t2"));
  await stop(chat);
  await sending;
  assert.equal(chat.status, "ready");
  const turn = await get(`/chat/turns/${chat.lastMessage.id}`);
  assert.deepEqual([turn.status, turn.message], ["cancelled", textOf(chat.lastMessage)]);
});

// [covers ui messages, tools]
test("outputs of tools continue the message", async () => {
  const tools = [{ type: "function", function: { name: "weather", parameters: { type: "object", properties: {} } } }];
  const chat = chatOf(randomUUID(), {
    body: { tools },
    sendAutomaticallyWhen: lastAssistantMessageIsCompleteWithToolCalls,
    onToolCall: ({ toolCall }) =>
      void chat.addToolOutput({ tool: toolCall.toolName, toolCallId: toolCall.toolCallId, output: { sky: "blue" } }),
  });
  await chat.sendMessage({ text: `Weather? ${randomUUID()} [[fake tool_calls=2 times=1]]` });
  await until(() => chat.status === "ready" && textOf(chat.lastMessage).endsWith("t16"));
  assert.equal(chat.messages.length, 2);
  const calls = chat.lastMessage.parts.filter((part) => part.type === "dynamic-tool");
  assert.deepEqual(calls.map((part) => part.state), ["output-available", "output-available"]);
  await chat.sendMessage({ text: "Thanks [[fake tokens=1]]" });
  assert.equal(textOf(chat.lastMessage), "t1");
});

// [covers ui messages, files]
test("files are part of a message, by their address and as data", async () => {
  const form = new FormData();
  form.append("file", new Blob(["The plan."]), "plan.txt");
  const made = await (await fetch(`${url}/api/v1/files`, { method: "POST", headers, body: form })).json();
  const chat = chatOf();
  const stored = { type: "file", mediaType: made.media_type, url: `${url}/api/v1/files/${made.id}/content` };
  await chat.sendMessage({ text: "[[fake mode=echo]]", files: [stored] });
  assert.match(textOf(chat.lastMessage), /The plan\./);
  assert.deepEqual((await get(`/chat/turns/${chat.lastMessage.id}`)).user_message.files, [made.id]);
  const data = `data:text/plain;base64,${Buffer.from("The other plan.").toString("base64")}`;
  await chat.sendMessage({ files: [{ type: "file", mediaType: "text/plain", filename: "b.txt", url: data }] });
  assert.equal(chat.error, undefined);
  const image = { type: "file", mediaType: "image/png", url: "data:image/png;base64,AAAA" };
  await chat.sendMessage({ text: "And this?", files: [image] });
  assert.equal(chat.error.statusCode, 400);
});

// [covers errors]
test("failures and refusals are errors of the chat", async () => {
  const failed = chatOf();
  await failed.sendMessage({ text: "Hi [[fake status=400]]" });
  assert.equal(failed.status, "error");
  assert.match(failed.error.message, /provider/i);
  const refused = chatOf("not-a-uuid");
  await refused.sendMessage({ text: "Hi" });
  assert.equal(refused.error.statusCode, 422);
});
