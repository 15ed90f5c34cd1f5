// A conversation of 2,000 messages: few of them are in the page, and each can be reached.
import assert from "node:assert/strict";
import { before, test } from "node:test";

import { assertAccessible, screenshot } from "./page.mjs";
import { setUp } from "./setup.mjs";

const MESSAGES = 2000;
const CONVERSATION = "01a200aa-0000-7000-8000-00000000000c";
const { stack, person } = setUp({ keepPages: true });
let page;

before(async () => {
  page = await person();
  await page.route(`**/api/v1/conversations/${CONVERSATION}/messages?*`, (route) => route.fulfill({ json: messagePage(new URL(route.request().url()).searchParams) }));
  await page.route(`**/api/v1/conversations/${CONVERSATION}`, (route) => route.fulfill({ json: { id: CONVERSATION, active_message_id: null } }));
  await page.route(/\/api\/v1\/chat\/turns\?/, (route) => route.fulfill({ json: { data: [], next_cursor: null } }));
  await page.route(/\/api\/v1\/search\?/, (route) => route.fulfill({ json: { data: [hit(1000)], next_cursor: null } }));
});

const inPage = () => page.locator(".message").count();

test("the ends of a long conversation are one click or key away, and few messages are in the page", async () => {
  await page.goto(`${stack.url}/#/c/${CONVERSATION}`);
  await page.getByText(`message ${MESSAGES}.`).waitFor();
  await page.locator(`.message[aria-setsize="${MESSAGES}"]`).first().waitFor(); // everything is read
  await page.getByRole("button", { name: "Go to the first message" }).click();
  await page.getByText("message 1.", { exact: true }).waitFor();
  assert.ok((await inPage()) <= 180);
  await assertAccessible(page, "the begin of a long conversation");
  await screenshot(page, "long-light");
  await page.getByRole("region", { name: "Messages" }).press("End");
  await page.getByText(`message ${MESSAGES}.`).waitFor();
  await page.getByRole("region", { name: "Messages" }).press("Home");
  await page.getByText("message 1.", { exact: true }).waitFor();
});

test("scrolling reaches every message, and the page stays small", async () => {
  const seen = await page.locator(".thread").evaluate(async (box) => {
    const numbers = new Set();
    let most = 0;
    for (let round = 0; round < 4000 && !numbers.has(2000); round += 1) {
      const messages = [...box.querySelectorAll(".message")];
      for (const message of messages) numbers.add(Number(message.ariaPosInSet));
      most = Math.max(most, messages.length);
      box.scrollTop += box.clientHeight;
      await new Promise(requestAnimationFrame);
    }
    return { numbers: numbers.size, most };
  });
  assert.equal(seen.numbers, MESSAGES);
  assert.ok(seen.most <= 180, `${seen.most} messages in the page`);
});

test("a search hit opens at its message, which has the focus", async () => {
  await page.getByLabel("Search all messages").fill("message");
  await page.locator(".hit").click();
  const found = page.locator(".message.found");
  await found.getByText("message 1000.").waitFor();
  await page.waitForFunction(() => document.activeElement?.matches(".message.found"));
  const { top, bottom, height } = await found.evaluate((element) => ({ ...element.getBoundingClientRect().toJSON(), height: innerHeight }));
  assert.ok(top >= 0 && bottom <= height, `${top} to ${bottom}`);
});

function idOf(number) {
  return `01a200aa-0000-7000-8000-${String(number).padStart(12, "0")}`;
}

/** A page of the tree, newest first; the cursor is the number of the last message of the page before. */
function messagePage(query) {
  const before = Number(query.get("cursor") ?? MESSAGES + 1);
  const numbers = Array.from({ length: Math.min(before - 1, Number(query.get("limit"))) }, (_, index) => before - 1 - index);
  const none = { tool_calls: null, tool_call_id: null, finish_reason: "stop", model: null, usage: null, cost: null, sibling_ids: [], sibling_count: 1 };
  const data = numbers.map((number) => ({
    ...none,
    id: idOf(number),
    conversation_id: CONVERSATION,
    turn_id: idOf(number),
    number,
    parent_id: number === 1 ? null : idOf(number - 1),
    role: number % 2 ? "user" : "assistant",
    content: `message ${number}.`,
    status: "completed",
    created_at: new Date(Date.UTC(2026, 0, 1) + number * 1000).toISOString(),
  }));
  const last = numbers.at(-1);
  return { data, next_cursor: last > 1 ? String(last) : null };
}

function hit(number) {
  const snippet = [{ text: "message", match: true }, { text: ` ${number}.`, match: false }];
  return { message_id: idOf(number), conversation_id: CONVERSATION, conversation_title: "Long", role: "user", snippet, created_at: new Date().toISOString() };
}
