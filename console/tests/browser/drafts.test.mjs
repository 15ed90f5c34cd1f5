// Text that is not sent yet: kept while the person looks elsewhere, reloads or logs in again, and gone when it must be.
import assert from "node:assert/strict";
import { test } from "node:test";

import { createAccount, finishedWords, logIn, send } from "./page.mjs";
import { setUp } from "./setup.mjs";

const { stack, person } = setUp();

const composer = (page) => page.getByLabel("Your message");
const shows = (page, text) => page.waitForFunction((text) => document.querySelector(".composer textarea")?.value === text, text);
const stored = (page) => page.evaluate(() => sessionStorage.getItem("parley.drafts") ?? "");

async function chooseInMenu(page, action) {
  const item = page.locator(".conversation").first();
  await item.hover();
  await item.getByRole("button").click();
  await page.getByRole("menuitem", { name: action }).click();
}

test("each conversation and the new one keep their text over other views and a reload", async () => {
  const page = await person();
  await send(page, "Begin [[fake tokens=2]]");
  await finishedWords(page);
  const conversation = page.url();
  await composer(page).fill("For this one");
  await page.getByRole("link", { name: "New conversation" }).click();
  await shows(page, "");
  await composer(page).fill("For a new one");
  await page.goto(`${stack.url}/#/account/profile`);
  await page.getByLabel("Display name").waitFor();
  await page.goto(conversation);
  await shows(page, "For this one");
  await page.reload();
  await shows(page, "For this one");
  await page.goto(`${stack.url}/#/`);
  await shows(page, "For a new one");
  await page.keyboard.type(", at its end");
  await shows(page, "For a new one, at its end");
});

test("a message that is sent is no draft, and what is written meanwhile belongs to its conversation", async () => {
  const page = await person();
  await send(page, "Begin [[fake tokens=40]]");
  await composer(page).fill("Next");
  await finishedWords(page);
  await page.getByRole("link", { name: "New conversation" }).first().click();
  await shows(page, "");
  await page.goBack();
  await shows(page, "Next");
});

test("a first message that was refused is there after a reload", async () => {
  const page = await person();
  const problem = { code: "rate_limited", detail: "Too many.", errors: [], status: 429 };
  await page.route("**/api/v1/chat/stream", (route) => route.fulfill({ status: 429, json: problem }), { times: 1 });
  await send(page, "Refused at first");
  await shows(page, "Refused at first");
  await page.reload();
  await page.getByRole("link", { name: "New conversation" }).click();
  await shows(page, "Refused at first");
});

test("an ended session keeps the text for the same account, and for no other", async () => {
  const page = await person();
  await composer(page).fill("Unsent thoughts");
  await page.context().clearCookies();
  await page.reload();
  await logIn(page, page.username);
  await shows(page, "Unsent thoughts");
  await page.context().clearCookies();
  await page.reload();
  await logIn(page, await createAccount(stack.url));
  await shows(page, "");
  assert.equal(await stored(page), "");
});

test("a log-out in this tab or another one removes the text", async () => {
  const page = await person();
  const other = await page.context().newPage();
  await other.goto(stack.url);
  await composer(other).fill("In the other tab");
  await composer(page).fill("In this tab");
  await page.locator(".sidebar-foot .menu-button").click();
  await page.getByRole("menuitem", { name: "Log out" }).click();
  for (const each of [page, other]) {
    await each.getByRole("button", { name: "Log in" }).waitFor();
    assert.equal(await stored(each), "");
  }
});

test("a deleted conversation takes its text with it, unless the deletion is undone", async () => {
  const page = await person();
  await send(page, "Begin [[fake tokens=2]]");
  await finishedWords(page);
  const conversation = page.url();
  await composer(page).fill("Keep me on undo");
  await page.locator(".conversation").first().waitFor();
  await chooseInMenu(page, "Delete");
  await page.getByRole("button", { name: "Undo" }).click();
  await page.goto(conversation);
  await shows(page, "Keep me on undo");
  await chooseInMenu(page, "Delete");
  await page.waitForFunction(() => sessionStorage.getItem("parley.drafts") === null);
});

test("of many drafts the newest are kept, each up to a length", async () => {
  const page = await person();
  await page.evaluate(() => {
    const user = localStorage.getItem("parley.logged-in");
    const texts = Array.from({ length: 20 }, (_, number) => [`c${number}`, "x"]);
    sessionStorage.setItem("parley.drafts", JSON.stringify({ user, texts }));
  });
  await page.reload();
  await composer(page).fill("y".repeat(70_000));
  const { texts } = JSON.parse(await stored(page));
  assert.deepEqual([texts.length, texts[0][0], texts.at(-1)[1].length], [20, "c1", 64_000]);
});
