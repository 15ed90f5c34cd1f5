// What each file of these tests starts and ends: Parley, a browser, and the pages in it.
import assert from "node:assert/strict";
import { after, afterEach, before } from "node:test";

import { createAccount, logIn, openBrowser, openPage } from "./page.mjs";
import { Stack } from "./stack.mjs";

/**
 * Start Parley and a browser before the tests of a file, and stop them at its end. The pages of `open` and `person` close
 * after each test, or at the end of the file with `keepPages`. A fault in one of them fails that test, or the file.
 */
export function setUp({ keepPages = false } = {}) {
  const stack = new Stack();
  const pages = [];
  let browser;
  const started = start();

  async function start() {
    browser = await openBrowser();
    await stack.start();
  }

  async function closePages() {
    const faults = pages.flatMap((page) => page.faults);
    await Promise.all(pages.splice(0).map((page) => page.context().close()));
    assert.deepEqual(faults, []);
  }

  async function open(options) {
    await started; // Node.js runs the `before` hooks of a file at the same time
    const page = await openPage(browser, stack.url, options);
    pages.push(page);
    return page;
  }

  /** Open a page where a new account is logged in; `page.username` is its name. */
  async function person() {
    const page = await open();
    page.username = await createAccount(stack.url);
    await logIn(page, page.username);
    return page;
  }

  before(() => started);
  if (!keepPages) afterEach(closePages);
  after(async () => {
    try {
      await closePages();
    } finally {
      await browser?.close();
      await stack.stop();
    }
  });
  return { stack, open, person };
}
