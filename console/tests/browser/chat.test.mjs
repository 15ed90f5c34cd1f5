// Chat, as a person does it: first visit, reload, kill, stop, branches, list, tabs, faults.
import assert from "node:assert/strict";
import { test } from "node:test";

import { answer, assertAccessible, assertNoGap, finishedWords, numbered, screenshot, send } from "./page.mjs";
import { setUp } from "./setup.mjs";
import { PASSWORD } from "./stack.mjs";

const { stack, open, person } = setUp();

test("a first visit gets a streamed answer within five clicks", async () => {
  const page = await open();
  let clicks = 0;
  const click = async (locator) => {
    clicks += 1;
    await locator.click();
  };
  await click(page.getByRole("link", { name: "Create an account" }));
  await page.getByLabel("User name").fill("newcomer");
  await page.getByLabel("Password").fill(PASSWORD);
  await click(page.getByRole("button", { name: "Create an account" }));
  await click(page.getByRole("button", { name: "Explain how a rainbow forms" }));
  assert.deepEqual(await finishedWords(page), numbered(40));
  assert.ok(clicks <= 5, `${clicks} clicks`);
});

test("the welcome begins at its heading on the smallest phone", async () => {
  const page = await person();
  await page.setViewportSize({ width: 320, height: 480 });
  await page.reload();
  await page.getByRole("heading", { name: /^Hello/ }).waitFor();
  const thread = page.locator(".thread");
  assert.ok(await thread.evaluate((box) => box.scrollHeight > box.clientHeight));
  assert.equal(await thread.evaluate((box) => box.scrollTop), 0);
});

test("the end of a long answer that arrives at once is in view", async () => {
  const page = await person();
  await page.setViewportSize({ width: 320, height: 480 });
  await page.reload();
  await send(page, "A long answer [[fake tokens=300 rate=0]]");
  await finishedWords(page);
  await page.waitForFunction(() => {
    const box = document.querySelector(".thread");
    return box.scrollTop > 0 && box.scrollHeight - box.scrollTop - box.clientHeight < 2;
  });
});

test("an answer continues after a reload, without a lost or repeated word", async () => {
  const page = await person();
  await send(page, "Reload me");
  await answer(page).getByText("t10").waitFor();
  await page.reload();
  assert.deepEqual(await finishedWords(page), numbered(40));
});

test("an answer survives a killed server: it continues or ends plainly, and keeps every word", async () => {
  const page = await person();
  await send(page, "Kill the server [[fake tokens=400]]");
  await answer(page).getByText("t20").waitFor();
  await stack.kill();
  await page.getByText("The connection broke.").waitFor();
  const before = await assertNoGap(page);
  await stack.run();
  await page.locator(".message.assistant footer .facts").waitFor({ state: "attached", timeout: 90_000 });
  assert.ok((await assertNoGap(page)) >= before);
  await page.reload();
  await page.locator(".message.assistant footer .facts").waitFor({ state: "attached" });
  assert.ok((await assertNoGap(page)) >= before);
});

test("the system prompt of a conversation is shown after a reload, and can be removed", async () => {
  const page = await person();
  const field = page.getByLabel("System prompt");
  const write = async (text) => {
    await page.getByRole("button", { name: "Settings" }).click();
    await field.fill(text);
    await page.keyboard.press("Escape");
  };
  const shown = async () => {
    await page.reload();
    await page.getByRole("button", { name: "Settings" }).click();
    await page.waitForFunction(() => !document.querySelector("#system-prompt").readOnly);
    const value = await field.inputValue();
    await page.keyboard.press("Escape");
    return value;
  };
  await write("Answer in rhymes.");
  await send(page, "With a prompt [[fake tokens=3]]");
  await finishedWords(page);
  assert.equal(await shown(), "Answer in rhymes.");
  await write("");
  await send(page, "Without one [[fake tokens=3]]");
  await answer(page).getByText("t3").waitFor();
  assert.equal(await shown(), "");
});

test("a stopped answer keeps what it has written", async () => {
  const page = await person();
  await send(page, "Stop me [[fake tokens=2000]]");
  await answer(page).getByText("t5").waitFor();
  await page.getByRole("button", { name: "Stop", exact: true }).click();
  await page.getByText("Stopped.").waitFor();
  assert.ok((await assertNoGap(page)) >= 5);
});

test("a screen reader hears how the answer ended", async () => {
  const page = await person();
  const hears = (text) => page.locator("main > [role=status]", { hasText: text }).waitFor({ state: "attached" });
  await send(page, "Simply [[fake tokens=2]]");
  await hears("The answer is complete.");
  await send(page, "Too long [[fake tokens=2 finish_reason=length]]");
  await hears("it reached the maximum length");
  await send(page, "Stop me [[fake tokens=2000]]");
  await hears("The answer is being written.");
  await answer(page).getByText("t5").waitFor();
  await page.keyboard.press("Escape");
  await hears("You stopped the answer.");
  await send(page, "Fail [[fake status=400 error_message=Broken]]");
  await page.locator(".message.assistant").last().locator(".ending").waitFor();
  await hears((await page.locator(".message.assistant").last().locator(".ending").textContent()).trim());
  await page.reload();
  await page.locator(".message").nth(7).waitFor();
  await hears(/^$/); // nothing has happened since
});

test("edits and new answers are branches with arrows", async () => {
  const page = await person();
  await send(page, "First [[fake tokens=3]]");
  await finishedWords(page);
  await page.getByRole("button", { name: "Answer again" }).click();
  await page.getByLabel("Version 2 of 2").waitFor();
  await finishedWords(page);
  await page.getByRole("button", { name: "Edit the message" }).click();
  await page.getByRole("textbox", { name: "Edit the message" }).fill("Second [[fake text='other words']]");
  await page.locator(".editor").getByRole("button", { name: "Send" }).click();
  assert.deepEqual(await finishedWords(page), ["other", "words"]);
  await page.locator(".message.user").getByRole("button", { name: "Previous version" }).click();
  assert.deepEqual(await finishedWords(page), numbered(3));
  await page.reload();
  await page.locator(".message.user").getByLabel("Version 1 of 2").waitFor();
});

test("conversations are renamed, archived, found, and deleted with an undo", async () => {
  const page = await person();
  await send(page, "The zebra crossed the road [[fake tokens=2]]");
  await finishedWords(page);
  const list = page.getByRole("navigation");
  const menu = async (action) => {
    await list.locator(".conversation").first().hover();
    await list.getByRole("button", { name: /^Actions for (?!the list)/ }).first().click();
    await page.getByRole("menuitem", { name: action, exact: true }).click();
  };
  await menu("Rename");
  await page.getByRole("textbox", { name: "Rename" }).fill("Animals");
  await page.keyboard.press("Enter");
  await list.getByRole("link", { name: "Animals" }).waitFor();

  await page.getByLabel("Search all messages").fill("zebra");
  await page.locator(".hit mark").first().waitFor();
  await page.getByLabel("Search all messages").fill("");

  await menu("Archive");
  await list.getByText("No conversations yet.").waitFor();
  await page.getByRole("button", { name: "Undo" }).click();
  await page.getByText("Conversation archived.").waitFor({ state: "detached" });
  await list.getByRole("link", { name: "Animals" }).waitFor();

  await menu("Delete");
  await page.locator(".toast", { hasText: "Conversation deleted." }).getByRole("button", { name: "Undo" }).click();
  await list.getByRole("link", { name: "Animals" }).waitFor();
});

test("a second tab shows a conversation of the first as it is written", async () => {
  const page = await person();
  const other = await page.context().newPage();
  await other.goto(stack.url);
  await other.getByLabel("Your message").waitFor();
  await send(page, "Two tabs [[fake tokens=60]]");
  await other.getByRole("link", { name: /Two tabs/ }).click();
  await answer(other).getByText("t5").waitFor();
  assert.deepEqual(await finishedWords(other), numbered(60));
  assert.deepEqual(await finishedWords(page), numbered(60));
});

test("of 5,000 conversations only those in view are in the page, and the last can be reached", async () => {
  const page = await person();
  await page.route(/\/api\/v1\/conversations\?/, (route) => route.fulfill({ json: conversationPage(new URL(route.request().url()).searchParams) }));
  await page.reload();
  await page.getByText("Conversation 1", { exact: true }).waitFor();
  const list = page.locator(".conversations");
  let rows = 0;
  while ((await page.getByText(`Conversation ${CONVERSATIONS}`, { exact: true }).count()) === 0) {
    const now = await list.evaluate((box) => {
      box.scrollTop = box.scrollHeight;
      return box.querySelectorAll(".conversation").length;
    });
    rows = Math.max(rows, now);
  }
  assert.ok(rows < 100, `${rows} rows in the page`);
});

test("hostile text is shown as text", async () => {
  const page = await person();
  for (const text of HOSTILE) {
    await page.goto(`${stack.url}/#/`);
    await send(page, `${text} [[fake mode=echo]]`);
    await page.locator(".message.assistant footer .facts").last().waitFor({ state: "attached" });
    const title = page.locator(".conversation").first();
    await title.hover();
    await title.getByRole("button").click();
    await page.getByRole("menuitem", { name: "Rename" }).click();
    await page.getByRole("textbox", { name: "Rename" }).fill(text.slice(0, 150));
    await page.keyboard.press("Enter");
  }
  const found = await page.evaluate(() => ({
    executed: globalThis.xss ?? null,
    elements: document.querySelectorAll(".thread script, .thread img, .thread iframe, .thread svg:not(.icon), .thread [onerror], .thread form").length,
    links: [...document.querySelectorAll(".thread a")].map((link) => link.protocol).filter((each) => !/^https?:$/.test(each)),
  }));
  assert.deepEqual(found, { executed: null, elements: 0, links: [] });
});

test("footnotes lead to each other within their message, unsafe links are text, and tasks are labelled", async () => {
  const page = await person();
  const text = "It rains[^1]. [run](javascript:alert(1)) [top](#top) [out](https://example.org/)\n\n- [x] read\n- [ ] write\n\n[^1]: In *May*.\n";
  for (let round = 0; round < 2; round += 1) {
    await send(page, `${text}\n[[fake mode=echo]]`);
    await page.locator(".message.assistant").nth(round).locator("footer .facts").waitFor({ state: "attached" });
  }
  const place = page.url();
  await answer(page).getByRole("button", { name: "Footnote 1" }).click();
  const focused = () => page.evaluate(() => [document.activeElement.localName, [...document.querySelectorAll(".message")].findIndex((each) => each.contains(document.activeElement))]);
  assert.deepEqual(await focused(), ["li", 3]);
  await answer(page).getByRole("button", { name: "Back to the text" }).click();
  assert.deepEqual(await focused(), ["button", 3]);
  assert.deepEqual([page.url(), page.context().pages().length], [place, 1]);
  assert.deepEqual(await answer(page).locator("a").evaluateAll((all) => all.map((each) => each.href)), ["https://example.org/"]);
  await answer(page).getByText("run top out").waitFor();
  await answer(page).getByRole("checkbox", { name: "Done", exact: true, checked: true }).waitFor();
  await answer(page).getByRole("checkbox", { name: "Not done", checked: false }).waitFor();
  await assertAccessible(page, "footnotes and tasks");
  await screenshot(page, "footnotes-light");
});

test("each paragraph and list reads in the direction of its language, code always from the left", async () => {
  const page = await person();
  await send(page, "مرحبا `ls` [[fake mode=echo]]\n\nThen `ls`.\n\n- واحد\n\n- two\n\n> שלום\n\n```\nls\n```");
  await finishedWords(page);
  const directions = await answer(page).evaluate((box) => {
    const found = [...box.querySelectorAll(".markdown > *, li, code")];
    return found.map((each) => `${each.localName} ${getComputedStyle(each).direction}`);
  });
  const words = ["p rtl", "code ltr", "p ltr", "code ltr", "ul rtl", "li rtl", "li rtl", "blockquote rtl", "div ltr", "code ltr"];
  assert.deepEqual(directions, words);
  const mine = page.locator(".message.user .plain").last();
  assert.equal(await mine.evaluate((box) => getComputedStyle(box).direction), "rtl");
  await page.getByLabel("Your message").fill("שלום");
  assert.equal(await page.getByLabel("Your message").evaluate((box) => getComputedStyle(box).direction), "rtl");
});

test("a lost network is said plainly, and sending works again when it is back", async () => {
  const page = await person();
  await page.context().setOffline(true);
  await page.getByText("You are offline.").waitFor();
  await page.getByLabel("Your message").fill("Later");
  assert.ok(await page.getByRole("button", { name: "Send" }).isDisabled());
  await page.context().setOffline(false);
  await page.getByRole("button", { name: "Send" }).click();
  assert.deepEqual(await finishedWords(page), numbered(40));
});

test("a refusal for too many requests says when to go on, and keeps the text", async () => {
  const page = await person();
  const problem = { code: "rate_limited", detail: "600 requests a minute allowed.", errors: [], status: 429 };
  await page.route("**/api/v1/chat/stream", (route) => route.fulfill({ status: 429, headers: { "Retry-After": "2" }, json: problem }), { times: 1 });
  await send(page, "Too fast [[fake tokens=2]]");
  await page.getByText(/Too many requests\. You can send again in \d s\./).waitFor();
  assert.match(await page.getByLabel("Your message").inputValue(), /^Too fast/);
  await page.getByRole("button", { name: "Send" }).click();
  assert.deepEqual(await finishedWords(page), numbered(2));
});

test("an ended session leads to the log-in, and nothing secret is stored where scripts read", async () => {
  const page = await person();
  const stored = await page.evaluate(() => JSON.stringify({ ...localStorage, ...sessionStorage, cookie: document.cookie }));
  assert.doesNotMatch(stored, /prt_|eyJ/);
  const [cookie] = await page.context().cookies(`${stack.url}/api/v1/auth`);
  assert.deepEqual([cookie.name, cookie.httpOnly, cookie.sameSite, cookie.path], ["parley_refresh", true, "Strict", "/api/v1/auth"]);
  await page.context().clearCookies();
  await page.reload();
  await page.getByRole("button", { name: "Log in" }).waitFor();
});

const CONVERSATIONS = 5000;

/** A page of conversations numbered from 1; the cursor is the last number of the page before. */
function conversationPage(query) {
  const after = Number(query.get("cursor") ?? 0);
  const end = Math.min(CONVERSATIONS, after + Number(query.get("limit")));
  const none = { model: null, system_prompt: null, active_message_id: null, running_turn_id: null, archived: false, metadata: {} };
  const data = Array.from({ length: end - after }, (_, index) => {
    const number = after + index + 1;
    const at = new Date(Date.now() - number * 1_800_000).toISOString();
    const id = `01a200aa-0000-7000-8000-${String(number).padStart(12, "0")}`;
    return { ...none, id, title: `Conversation ${number}`, version: 1, message_count: 2, created_at: at, updated_at: at };
  });
  return { data, next_cursor: end < CONVERSATIONS ? String(end) : null };
}

const HOSTILE = [
  "<script>globalThis.xss = 1</script>",
  "<img src=x onerror='globalThis.xss = 2'>",
  "[click](javascript:globalThis.xss=3)",
  "![x](https://evil.example/pixel.png)",
  "<iframe srcdoc='<script>parent.xss = 4</script>'></iframe>",
  "```html\n<svg onload=globalThis.xss=5>\n```",
  "$\\href{javascript:globalThis.xss=7}{x}$ \\(\\htmlData{a=b}{x}\\)",
  "<a href=\"data:text/html,<script>alert(6)</script>\">a</a>",
];
