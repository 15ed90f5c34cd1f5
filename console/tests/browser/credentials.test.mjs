// API keys, and the mails about an account.
import assert from "node:assert/strict";
import { test } from "node:test";

import { assertAccessible, logIn, PHONE, screenshot } from "./page.mjs";
import { setUp } from "./setup.mjs";
import { ADMIN } from "./stack.mjs";

const { stack, open, person } = setUp();

async function openKeys() {
  const page = await person();
  await page.goto(`${stack.url}/#/account/keys`);
  await page.getByText("No API keys.").waitFor();
  return page;
}

async function createKey(page, name) {
  await page.getByLabel("Name of the new key").fill(name);
  await page.getByRole("button", { name: "Create a key" }).click();
  const row = page.locator(".rows li", { hasText: name });
  await row.waitFor();
  return row;
}

const inDays = (days) => new Intl.DateTimeFormat("en-GB", { dateStyle: "medium" }).format(Date.now() + days * 86_400_000);

test("a key has the scopes and the lifetime that were chosen, and by default those of the server", async () => {
  const page = await openKeys();
  const usual = await createKey(page, "Usual");
  await usual.getByText(`chat:write · never used · expires ${inDays(90)}`).waitFor();
  await page.getByLabel("Read conversations").check();
  await page.getByLabel("Send messages").uncheck();
  await page.getByLabel("Lifetime").selectOption("7 days");
  await (await createKey(page, "Reader")).getByText(`history:read · never used · expires ${inDays(7)}`).waitFor();
  await page.getByLabel("Lifetime").selectOption("Never expires");
  await (await createKey(page, "Endless")).getByText("chat:write · never used · never expires").waitFor();
  assert.equal(await page.getByLabel("Administer this server").count(), 0);
  await screenshot(page, "keys-many-light");
  await page.emulateMedia({ colorScheme: "dark" });
  await page.setViewportSize(PHONE);
  await assertAccessible(page, "keys, dark, phone");
  await screenshot(page, "keys-many-dark-phone");
});

test("a key is deleted only after a second question, and its secret goes with it", async () => {
  const page = await openKeys();
  const row = await createKey(page, "Nightly");
  await page.locator(".secret code").waitFor();
  await createKey(page, "Newest");
  await row.getByRole("button", { name: "Delete the key Nightly" }).click();
  await screenshot(page, "key-delete-light");
  await row.getByRole("button", { name: "Cancel" }).click();
  await row.getByRole("button", { name: "Delete the key Nightly" }).click();
  await row.getByRole("button", { name: "Delete for good" }).click();
  await row.waitFor({ state: "detached" });
  assert.equal(await page.locator(".secret code").count(), 1); // that of the other key
  const newest = page.locator(".rows li", { hasText: "Newest" });
  await newest.getByRole("button", { name: "Delete the key Newest" }).click();
  await newest.getByRole("button", { name: "Delete for good" }).click();
  await page.getByText("No API keys.").waitFor();
  assert.equal(await page.locator(".secret code").count(), 0);
});

test("a key beyond the plan says why it was not made", async () => {
  const page = await openKeys();
  const detail = "API keys of this plan expire after at most 30 days.";
  const problem = { code: "validation_failed", detail: "Invalid.", status: 422, errors: [{ pointer: "/expires_at", code: "too_late", detail }] };
  await page.route("**/api/v1/auth/api-keys", (route) => route.fulfill({ status: 422, json: problem }), { times: 1 });
  await page.getByLabel("Name of the new key").fill("Long");
  await page.getByLabel("Lifetime").selectOption("365 days");
  await page.getByRole("button", { name: "Create a key" }).click();
  await page.getByRole("alert").getByText(detail).waitFor();
  assert.equal(await page.getByLabel("Lifetime").inputValue(), "365");
});

test("a forgotten password on a server without mail leads to the operator", async () => {
  const page = await open();
  await page.getByRole("link", { name: "Forgot your password?" }).click();
  await page.getByLabel("E-mail").fill("ada@example.org");
  await page.getByRole("button", { name: "Send a link" }).click();
  await page.getByText("This server sends no mail. Ask its operator").waitFor();
  await screenshot(page, "forgot-no-mail-light");
});

test("an address that is not confirmed can be confirmed by mail, or the page says that the server sends none", async () => {
  const page = await open();
  await logIn(page, ADMIN);
  await page.goto(`${stack.url}/#/account/profile`);
  const button = page.getByRole("button", { name: "Send a confirmation mail" });
  await button.click();
  await page.getByRole("alert").getByText("This server sends no mail").waitFor();
  await assertAccessible(page, "an address that cannot be confirmed");
  await screenshot(page, "email-no-mail-light");
  await page.route("**/api/v1/auth/email-verification/request", (route) => route.fulfill({ status: 202, json: {} }));
  await button.click();
  await page.getByText("A link is on its way to root@example.org").waitFor();
  assert.equal(await page.getByRole("alert").count(), 0);
  await screenshot(page, "email-sent-light");
});
