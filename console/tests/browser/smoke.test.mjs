// The promises of the console in one short visit: no word is lost or repeated, and no view breaks a rule of axe or of the policy.
import assert from "node:assert/strict";
import { before, test } from "node:test";

import { answer, assertAccessible, assertNoGap, finishedWords, logIn, numbered, send } from "./page.mjs";
import { setUp } from "./setup.mjs";
import { ADMIN } from "./stack.mjs";

const VIEWS = {
  "account/profile": "Display name",
  "account/preferences": "Language",
  "account/security": "This browser",
  "account/keys": "No API keys.",
  "account/usage": "By model",
  "account/data": "Export everything",
  "operator/users": "Add a person",
  "operator/usage": "By person",
  "operator/plans": "1,000 files",
  "operator/audit": /^user\./,
  "operator/events": "No dead letters",
  "operator/models": "Swift 8B",
  "operator/status": "responds in",
};
const { stack, open } = setUp({ keepPages: true });
let page;

before(async () => {
  page = await open();
});

test("the first view and the log-in", async () => {
  await page.getByRole("button", { name: "Log in" }).waitFor();
  await assertAccessible(page, "log-in");
  await logIn(page, ADMIN);
  await assertAccessible(page, "welcome");
});

test("an answer is streamed, continues after a reload, and is complete in both tabs", async () => {
  const other = await page.context().newPage();
  await other.goto(stack.url);
  await send(page, "Reload me [[fake tokens=50]]");
  await answer(page).getByText("t5").waitFor();
  await page.reload();
  await other.getByRole("link", { name: /Reload me/ }).click();
  assert.deepEqual(await finishedWords(page), numbered(50));
  assert.deepEqual(await finishedWords(other), numbered(50));
  await assertAccessible(page, "chat");
  await other.close();
});

test("a stopped answer keeps what it has written", async () => {
  await send(page, "Stop me [[fake tokens=5000]]");
  await answer(page).getByText("t5").waitFor();
  await page.getByRole("button", { name: "Stop", exact: true }).click();
  await page.getByText("Stopped.").waitFor();
  await assertNoGap(page);
});

test("every view of the account and the operator", async () => {
  for (const [place, text] of Object.entries(VIEWS)) {
    await page.goto(`${stack.url}/#/${place}`);
    await page.getByText(text).first().waitFor();
    assert.match(await page.title(), /^[^·]+ · Parley$/);
    const headings = await page.locator("main :is(h1, h2)").allTextContents();
    assert.equal(new Set(headings).size, headings.length, `a heading twice: ${headings}`);
    await assertAccessible(page, place);
  }
});
