// What a person sees when a part does not work, or is not for them: why, and what to do; the rest goes on.
import assert from "node:assert/strict";
import { test } from "node:test";

import { assertAccessible, finishedWords, screenshot, send } from "./page.mjs";
import { setUp } from "./setup.mjs";

const { stack, person } = setUp();

test("a page whose code cannot be loaded leaves the rest, and is there when the network is back", async () => {
  const page = await person();
  await page.getByLabel("Your message").fill("Unsent");
  await page.context().setOffline(true);
  await page.evaluate(() => (location.hash = "#/account/profile"));
  await page.getByText("This page could not be loaded").waitFor();
  await assertAccessible(page, "a page that is not loaded");
  await screenshot(page, "not-loaded-light");
  await page.getByRole("button", { name: "Try again" }).click();
  await page.getByText("This page could not be loaded").waitFor();
  await page.getByRole("link", { name: "New conversation" }).click();
  assert.equal(await page.getByLabel("Your message").inputValue(), "Unsent");
  await page.goBack();
  await page.getByText("This page could not be loaded").waitFor();
  await page.context().setOffline(false);
  await page.getByLabel("Display name").waitFor();
});

test("a page that failed once is loaded by the button, also after the server was replaced", async () => {
  const page = await person();
  await page.route("**/AccountView-*", (route) => route.fulfill({ status: 404, body: "" }), { times: 3 });
  await page.goto(`${stack.url}/#/account/profile`);
  await page.getByRole("button", { name: "Try again" }).click(); // reloads: the server responds, without the file
  await page.waitForFunction(() => performance.getEntriesByType("navigation")[0].type === "reload");
  await page.getByRole("button", { name: "Try again" }).click();
  await page.getByLabel("Display name").waitFor();
});

test("a search that failed says why, and can be made again", async () => {
  const page = await person();
  await send(page, "The zebra crossed the road [[fake tokens=2]]");
  await finishedWords(page);
  const broken = { code: "internal_error", detail: "It broke.", errors: [], status: 500 };
  await page.route("**/api/v1/search?*", (route) => route.fulfill({ status: 500, json: broken }), { times: 1 });
  await page.getByLabel("Search all messages").fill("zebra");
  const results = page.getByRole("region", { name: "Search results" });
  await results.getByText("It broke.").waitFor();
  assert.equal(await page.locator(".toast").count(), 0);
  await assertAccessible(page, "a failed search");
  await screenshot(page, "search-failed-light");
  await results.getByRole("button", { name: "Try again" }).click();
  await page.locator(".hit mark").first().waitFor();
});

test("the pages of the operator say that they are for administrators", async () => {
  const page = await person();
  await page.goto(`${stack.url}/#/operator/audit`);
  await page.getByRole("heading", { name: "For administrators" }).waitFor();
  await assertAccessible(page, "operator, no administrator");
  await screenshot(page, "operator-forbidden-light");
});
