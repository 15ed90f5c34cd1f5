// What the tests do in a browser, and what they keep: screenshots, and the rules of axe.
import assert from "node:assert/strict";
import { mkdirSync, readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { join } from "node:path";

import { chromium } from "playwright-core";

import { PASSWORD } from "./stack.mjs";

const AXE = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");
const SCREENSHOTS = join(import.meta.dirname, "../../screenshots");
/** Without a sandbox, which root and containers do not have: the pages are our own. */
const FLAGS = ["--no-sandbox", "--disable-dev-shm-usage", "--disable-gpu", "--no-first-run", "--disable-background-networking"];
export const DESKTOP = { width: 1280, height: 800 };
export const PHONE = { width: 390, height: 844 };

mkdirSync(SCREENSHOTS, { recursive: true });

export function openBrowser() {
  return chromium.launch({ executablePath: process.env.CHROMIUM, args: FLAGS });
}

/** Open a page of a person of its own. An error in the page, or a breach of its policy, fails the test that uses it. */
export async function openPage(browser, url, options = {}) {
  const context = await browser.newContext({ viewport: DESKTOP, locale: "en-GB", reducedMotion: "reduce", ...options });
  const page = await context.newPage();
  page.setDefaultTimeout(30_000);
  page.faults = [];
  page.on("pageerror", (error) => page.faults.push(error.message));
  page.on("dialog", (dialog) => {
    page.faults.push(`dialog: ${dialog.message()}`);
    void dialog.dismiss();
  });
  page.on("console", (message) => /Content Security Policy|Trusted/i.test(message.text()) && page.faults.push(message.text()));
  await page.goto(url);
  return page;
}

export async function logIn(page, name, password = PASSWORD) {
  await page.getByLabel("User name or e-mail").fill(name);
  await page.getByLabel("Password").fill(password);
  await page.getByRole("button", { name: "Log in" }).click();
  await page.getByLabel("Your message").waitFor();
}

/** Create an account over the API; return its name. */
export async function createAccount(url, prefix = "user") {
  const username = `${prefix}-${Math.random().toString(36).slice(2, 10)}`;
  const body = JSON.stringify({ username, password: PASSWORD });
  const made = await fetch(`${url}/api/v1/auth/register`, { method: "POST", body, headers: { "Content-Type": "application/json" } });
  assert.equal(made.status, 201);
  return username;
}

export async function send(page, text) {
  await page.getByLabel("Your message").fill(text);
  await page.keyboard.press("Enter");
}

/** The text of the last answer. */
export function answer(page) {
  return page.locator(".message.assistant .message-content").last();
}

/** Wait until the answer is complete, and return its words. */
export async function finishedWords(page) {
  await page.locator(".message.assistant").last().locator("footer .facts").waitFor({ state: "attached" });
  return (await answer(page).textContent()).trim().split(/\s+/); // innerText leaves out what is not painted yet
}

export function numbered(count) {
  return Array.from({ length: count }, (_, index) => `t${index + 1}`);
}

/** The words that an answer shows so far must be the first ones, each once. Return how many there are. */
export async function assertNoGap(page) {
  const words = (await answer(page).locator(".markdown, .plain").first().innerText()).trim().split(/\s+/);
  assert.deepEqual(words, numbered(words.length));
  return words.length;
}

/** Wait until nothing moves or fades any more, except for what never ends. */
async function settled(page) {
  await page.evaluate(() => {
    const ending = document.getAnimations().filter((each) => each.effect.getComputedTiming().endTime !== Infinity);
    return Promise.allSettled(ending.map((each) => each.finished));
  });
}

/** Fail for each rule of axe that the page breaks. */
export async function assertAccessible(page, view) {
  await settled(page);
  await page.evaluate(AXE);
  const { violations } = await page.evaluate(() => globalThis.axe.run({ resultTypes: ["violations"] }));
  const found = violations.map((each) => `${each.id}: ${each.nodes.map((node) => node.html.slice(0, 160)).slice(0, 3).join(" | ")}`);
  assert.deepEqual(found, [], `axe: ${view}`);
}

export async function screenshot(page, name) {
  await page.screenshot({ path: join(SCREENSHOTS, `${name}.png`) });
}
