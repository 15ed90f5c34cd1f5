// The focus of a person who uses the keyboard: it is never lost when the pressed button is disabled or goes away.
import assert from "node:assert/strict";
import { test } from "node:test";

import { answer, assertAccessible, finishedWords, logIn, PHONE, send } from "./page.mjs";
import { setUp } from "./setup.mjs";
import { ADMIN } from "./stack.mjs";

const { stack, open, person } = setUp();

/** Press a button or link with the keyboard. */
async function press(locator, key = "Enter") {
  await locator.focus();
  await locator.press(key);
}

/** Wait until the focus is on what `name` matches: an accessible name, a text, or a class. */
async function focusIsOn(page, name) {
  await page.waitForFunction(
    ([source, flags]) => {
      const now = document.activeElement;
      const words = [now.ariaLabel, now.labels?.[0]?.textContent, now.textContent, now.className].filter(Boolean);
      return now !== document.body && words.some((each) => new RegExp(source, flags).test(each));
    },
    [name.source, name.flags],
    { timeout: 5_000 },
  ).catch(async () => assert.fail(`not on ${name}, but on ${await page.evaluate(() => document.activeElement.outerHTML.slice(0, 200))}`));
}

async function chooseInMenu(page, row, action) {
  await press(row.getByRole("button"));
  await press(page.getByRole("menuitem", { name: action, exact: true }));
}

test("a failed log-in and a saved form keep the focus on their button", async () => {
  const page = await open();
  await page.getByLabel("User name or e-mail").fill("nobody");
  await page.getByLabel("Password").fill("wrong wrong wrong");
  await press(page.getByRole("button", { name: "Log in" }));
  await page.getByText("The name or the password is wrong.").waitFor();
  await focusIsOn(page, /^Log in$/);
  await logIn(page, ADMIN);
  await page.goto(`${stack.url}/#/account/profile`);
  await press(page.getByRole("button", { name: "Save" }));
  await page.getByText("Saved.").waitFor();
  await focusIsOn(page, /^Save$/);
  await page.goto(`${stack.url}/#/account/preferences`);
  await page.getByLabel("Language").focus();
  await page.getByLabel("Language").selectOption("zh");
  await page.getByRole("heading", { name: "账号" }).waitFor();
  await focusIsOn(page, /^语言$/);
});

test("stopped, repeated, edited and chosen answers keep the focus", async () => {
  const page = await person();
  await send(page, "Begin [[fake tokens=2000]]");
  await answer(page).getByText("t5").waitFor();
  await press(page.getByRole("button", { name: "Stop", exact: true }));
  await page.getByText("Stopped.").waitFor();
  await focusIsOn(page, /^Send$/);
  await page.keyboard.press("Enter"); // does nothing: there is no text
  const edit = page.getByRole("button", { name: "Edit the message" });
  await press(edit);
  await page.keyboard.press("Escape");
  await focusIsOn(page, /^Edit the message$/);
  await press(edit);
  await press(page.locator(".editor").getByRole("button", { name: "Cancel" }));
  await focusIsOn(page, /^Edit the message$/);
  await press(edit);
  await page.getByRole("textbox", { name: "Edit the message" }).fill("Second [[fake tokens=3]]");
  await press(page.locator(".editor").getByRole("button", { name: "Send" }));
  await finishedWords(page);
  await focusIsOn(page, /^Edit the message$/);
  await press(page.getByRole("button", { name: "Answer again" }));
  await page.locator(".message.assistant").getByLabel("Version 2 of 2").waitFor();
  await focusIsOn(page, /^Assistant$/);
  await press(page.locator(".message.assistant").getByRole("button", { name: "Previous version" }));
  await page.locator(".message.assistant").getByLabel("Version 1 of 2").waitFor();
  await focusIsOn(page, /^Previous version$/);
  await press(page.locator(".message.assistant").getByRole("button", { name: "Next version" }));
  await page.locator(".message.assistant").getByLabel("Version 2 of 2").waitFor();
  await focusIsOn(page, /^Next version$/);
});

test("renamed, exported, archived and restored conversations keep the focus in the list", async () => {
  const page = await person();
  for (const title of ["Older", "Newer"]) {
    await page.goto(`${stack.url}/#/`);
    await send(page, `${title} [[fake tokens=2]]`);
    await finishedWords(page);
    await page.locator(".conversation", { hasText: title }).waitFor();
  }
  await page.goto(`${stack.url}/#/account/profile`);
  const newer = page.locator(".conversation", { hasText: "Newer" });
  await chooseInMenu(page, newer, "Rename");
  await page.getByRole("textbox", { name: "Rename" }).fill("Newer name");
  await page.keyboard.press("Enter");
  await focusIsOn(page, /^Newer name$/);
  await chooseInMenu(page, newer, "Rename");
  await page.keyboard.press("Escape");
  await focusIsOn(page, /^Newer name$/);
  const download = page.waitForEvent("download");
  await chooseInMenu(page, newer, "Export as JSON");
  await download;
  await focusIsOn(page, /^Actions for Newer name$/);
  await chooseInMenu(page, newer, "Archive");
  await newer.waitFor({ state: "detached" });
  await focusIsOn(page, /^Older/);
  await press(page.getByRole("button", { name: "Undo" }));
  await newer.waitFor();
  await focusIsOn(page, /^Older/);
  await chooseInMenu(page, page.locator(".conversation", { hasText: "Older" }), "Delete");
  await focusIsOn(page, /^Actions for Newer name$/);
});

test("deleted keys, ended dialogs and new secrets leave the focus nearby", async () => {
  const page = await open();
  await logIn(page, ADMIN);
  await page.goto(`${stack.url}/#/account/keys`);
  for (const name of ["First", "Second"]) {
    await page.getByLabel("Name of the new key").fill(name);
    await press(page.getByRole("button", { name: "Create a key" }));
    await page.locator(".rows li", { hasText: name }).waitFor();
    await focusIsOn(page, /^Create a key$/);
  }
  const second = page.locator(".rows li", { hasText: "Second" });
  await press(second.getByRole("button"));
  await focusIsOn(page, /^Cancel$/);
  await press(second.getByRole("button", { name: "Cancel" }));
  await focusIsOn(page, /^Delete the key Second$/);
  await press(second.getByRole("button"));
  await press(second.getByRole("button", { name: "Delete for good" }));
  await second.waitFor({ state: "detached" });
  await focusIsOn(page, /^Delete the key First$/);
  await page.goto(`${stack.url}/#/operator/events`);
  await press(page.getByRole("button", { name: "New webhook" }));
  const dialog = page.getByRole("dialog");
  await focusIsOn(page, /^Address$/);
  await dialog.getByLabel("Address").fill("http://127.0.0.1:9/hooks");
  await press(dialog.getByRole("button", { name: "Create" }));
  await press(dialog.getByRole("button", { name: "Done" }));
  await dialog.waitFor({ state: "detached" });
  await focusIsOn(page, /^New webhook$/);
  await press(page.getByRole("button", { name: /127\.0\.0\.1/ }));
  await press(dialog.getByRole("button", { name: "New secret" }));
  await focusIsOn(page, /^Copy$/);
  await page.keyboard.press("Escape");
  await focusIsOn(page, /127\.0\.0\.1/);
});

test("the menu of a narrow screen has the focus while it is open, and gives it back", async () => {
  const page = await person();
  await send(page, "Somewhere else [[fake tokens=2000]]");
  await answer(page).getByText("t5").waitFor();
  await page.setViewportSize(PHONE);
  const button = page.getByRole("button", { name: "Open the menu" });
  await press(button);
  await focusIsOn(page, /^Parley$/);
  await assertAccessible(page, "menu, phone");
  const visited = new Set();
  for (let step = 0; step < 15; step += 1) {
    await page.keyboard.press("Tab");
    visited.add(await page.evaluate(() => (document.activeElement.closest("main") ? "content" : document.activeElement.closest(".sidebar, .scrim") ? "menu" : "browser")));
  }
  assert.ok(!visited.has("content") && visited.has("menu"), [...visited].join());
  const search = page.getByLabel("Search all messages");
  await search.fill("zebra");
  await search.press("Escape"); // empties the field
  assert.equal(await search.inputValue(), "");
  await search.press("Escape");
  await focusIsOn(page, /^Open the menu$/);
  await answer(page).getByText("t40").waitFor(); // Escape has not stopped the answer
  await press(button);
  await press(page.getByRole("button", { name: "Account menu" }).or(page.locator(".sidebar-foot .menu-button")));
  await page.keyboard.press("Escape");
  await page.keyboard.press("Escape");
  await focusIsOn(page, /^Open the menu$/);
  await press(button);
  await press(page.getByRole("link", { name: "New conversation" }).first());
  await focusIsOn(page, /^Your message$/);
  await press(button);
  await page.setViewportSize({ width: 1000, height: 800 });
  await page.locator("main:not([inert])").waitFor();
});
