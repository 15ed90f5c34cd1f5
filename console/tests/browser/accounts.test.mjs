// What must not be lost or shown to another: sessions that end, accounts that change, conversations that fail.
import assert from "node:assert/strict";
import { test } from "node:test";

import { answer, createAccount, finishedWords, logIn, send } from "./page.mjs";
import { setUp } from "./setup.mjs";
import { PASSWORD } from "./stack.mjs";

const { stack, open, person } = setUp();

async function ask(page, text) {
  await send(page, `${text} [[fake tokens=2]]`);
  await finishedWords(page);
  await page.locator(".conversation").first().waitFor(); // history knows it
}

async function chooseLogOut(page) {
  await page.locator(".sidebar-foot .menu-button").click();
  await page.getByRole("menuitem", { name: "Log out" }).click();
}

test("an account that logs in where the session of another ended sees nothing of it", async () => {
  const page = await person();
  await ask(page, "The first account's secret");
  await page.context().clearCookies();
  const expired = { code: "token_expired", detail: "Expired.", errors: [], status: 401 };
  await page.route("**/api/v1/search?*", (route) => route.fulfill({ status: 401, json: expired }), { times: 1 });
  await page.getByLabel("Search all messages").fill("secret");
  await page.getByLabel("User name or e-mail").fill(await createAccount(stack.url));
  await page.getByLabel("Password").fill(PASSWORD);
  await page.getByRole("button", { name: "Log in" }).click();
  await page.getByText("No conversations yet.").waitFor();
  await page.getByText("This conversation is not here").waitFor();
  assert.doesNotMatch(await page.locator("body").innerText(), /secret/);
});

test("a fault is shown at its field, and is gone after the next try", async () => {
  const page = await open();
  await page.getByRole("link", { name: "Create an account" }).click();
  const fields = { name: page.getByLabel("User name"), password: page.getByLabel("Password") };
  await fields.name.fill("a b");
  await fields.password.fill("too short");
  await page.getByRole("button", { name: "Create an account" }).click();
  await page.locator(".field", { has: fields.name }).getByText("Must contain only letters").waitFor();
  assert.equal(await fields.name.getAttribute("aria-invalid"), "true");
  await fields.name.fill(`user-${Date.now()}`);
  await page.getByRole("button", { name: "Create an account" }).click();
  await page.locator(".field", { has: fields.password }).getByRole("alert").waitFor();
  assert.equal(await fields.name.getAttribute("aria-invalid"), null);
  assert.equal(await page.getByRole("alert").count(), 1);
});

test("a log-out in one tab ends the other tabs, and the next account of one is the account of all", async () => {
  const page = await person();
  await ask(page, "The first account's secret");
  const other = await page.context().newPage();
  await other.goto(stack.url);
  await other.getByLabel("Your message").waitFor();
  await chooseLogOut(other);
  await page.getByRole("button", { name: "Log in" }).waitFor();
  await logIn(page, page.username);
  const next = await createAccount(stack.url);
  await logIn(other, next);
  await page.locator(".who", { hasText: next }).waitFor();
  assert.doesNotMatch(await page.locator("body").innerText(), /secret/);
});

test("a log-out that the server did not hear is said, and the person stays logged in", async () => {
  const page = await person();
  await page.route("**/api/v1/auth/revoke", (route) => route.abort(), { times: 1 });
  await chooseLogOut(page);
  await page.getByText("The server cannot be reached.").waitFor();
  await page.reload();
  await page.getByLabel("Your message").waitFor();
});

test("a conversation that was deleted right before the log-out is deleted", async () => {
  const page = await person();
  await ask(page, "Delete me");
  const item = page.locator(".conversation").first();
  await item.hover();
  await item.getByRole("button").click();
  await page.getByRole("menuitem", { name: "Delete" }).click();
  await chooseLogOut(page);
  await logIn(page, page.username);
  await page.getByText("No conversations yet.").waitFor();
});

test("an answer that cannot be followed keeps its words, and its message is not offered again", async () => {
  const page = await person();
  const [turn_id, user_message_id] = ["01a200aa-0000-7000-8000-00000000000a", "01a200aa-0000-7000-8000-00000000000b"];
  await page.route("**/api/v1/chat/stream", (route) => {
    const { conversation_id } = route.request().postDataJSON();
    const event = { turn_id, conversation_id, message_id: turn_id, user_message_id, model: "m", delta: "kept words", finished: false };
    return route.fulfill({ contentType: "text/event-stream", body: `id: 1\ndata: ${JSON.stringify(event)}\n\n` });
  });
  const broken = { code: "internal_error", detail: "It broke.", errors: [], status: 500 };
  await page.route("**/api/v1/chat/turns/*/stream", (route) => route.fulfill({ status: 500, json: broken }));
  await send(page, "Accepted once");
  await page.locator(".toast", { hasText: "It broke." }).waitFor();
  await answer(page).getByText("kept words").waitFor();
  await page.locator("main > [role=status]", { hasText: "The connection to the answer is lost." }).waitFor({ state: "attached" });
  await page.locator(".message.user", { hasText: "Accepted once" }).waitFor();
  assert.equal(await page.getByLabel("Your message").inputValue(), "");
});

test("a conversation that could not be read can be read again, and takes no message before", async () => {
  const page = await person();
  await ask(page, "Read me again");
  const broken = { code: "internal_error", detail: "It broke.", errors: [], status: 500 };
  await page.route("**/messages?*", (route) => route.fulfill({ status: 500, json: broken }), { times: 1 });
  await page.reload();
  await page.getByText("This conversation could not be read.").waitFor();
  await page.getByLabel("Your message").fill("Too early");
  assert.ok(await page.getByRole("button", { name: "Send" }).isDisabled());
  await page.locator(".thread").getByRole("button", { name: "Try again" }).click();
  await page.locator(".message.user", { hasText: "Read me again" }).waitFor();
});

test("Escape in the name of a conversation ends the change of the name, not the answer", async () => {
  const page = await person();
  await send(page, "Go on [[fake tokens=2000]]");
  await answer(page).getByText("t5").waitFor();
  const item = page.locator(".conversation").first();
  await item.hover();
  await item.getByRole("button").click();
  await page.getByRole("menuitem", { name: "Rename" }).click();
  await page.getByRole("textbox", { name: "Rename" }).press("Escape");
  await page.getByRole("textbox", { name: "Rename" }).waitFor({ state: "detached" });
  await answer(page).getByText("t40").waitFor();
  await page.getByLabel("Your message").press("Escape");
  await page.getByText("Stopped.").waitFor();
});

test("an export of everything can be imported, under any name", async () => {
  const page = await person();
  await ask(page, "Carry me over");
  await page.goto(`${stack.url}/#/`);
  await ask(page, "Carry me over too");
  await page.locator(".conversation").nth(1).waitFor();
  await page.goto(`${stack.url}/#/account/data`);
  const download = page.waitForEvent("download");
  await page.getByRole("button", { name: "Export everything" }).click();
  const file = { name: "parley-export (1).json", mimeType: "application/json", buffer: await contentOf(await download) };
  await importFile(page, file);
  await page.getByText(/^2 conversations imported/).waitFor();
});

test("an import beyond the plan says that it is the space for imports, not the budget", async () => {
  const page = await person();
  const problem = { code: "quota_exceeded", detail: "Your imported conversations have reached the limit of your plan.", errors: [], status: 429 };
  await page.route("**/api/v1/conversations/import", (route) => route.fulfill({ status: 429, json: problem }), { times: 1 });
  await importFile(page, { name: "export.json", mimeType: "application/json", buffer: Buffer.from("[]") });
  await page.getByText(/^Your imported conversations take all the space of your plan\./).waitFor();
});

async function importFile(page, file) {
  const chooser = page.waitForEvent("filechooser");
  await page.getByRole("button", { name: "Actions for the list" }).click();
  await page.getByRole("menuitem", { name: "Import conversations" }).click();
  await (await chooser).setFiles(file);
}

async function contentOf(download) {
  const parts = [];
  for await (const part of await download.createReadStream()) parts.push(part);
  return Buffer.concat(parts);
}
