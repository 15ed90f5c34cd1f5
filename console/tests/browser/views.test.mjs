// Every view: the rules of axe, screenshots in light, dark and on a phone, and the tasks of an account and an operator.
import assert from "node:assert/strict";
import { before, test } from "node:test";

import { assertAccessible, createAccount, DESKTOP, finishedWords, logIn, PHONE, screenshot, send } from "./page.mjs";
import { setUp } from "./setup.mjs";
import { ADMIN } from "./stack.mjs";

const { stack, open, person } = setUp({ keepPages: true });
let page;

const ANSWER = `A **rainbow** forms when sunlight meets drops of rain:

1. Light bends as it *enters* a drop.
2. It reflects at the back, and bends again as it leaves.
3. Each colour bends by another angle, so the colours part.

| colour | wavelength |
|---|---|
| red | 700 nm |
| violet | 400 nm |

~~~python
def angle(index: float) -> float:
    # the angle of least deviation
    return 42.0 if index < 1.34 else 40.6
~~~

The law is $n_1 \\sin \\alpha = n_2 \\sin \\beta$, and the angle, for $5 or $10:

$$
\\delta = 2 \\arcsin \\frac{\\sin \\alpha}{n}
$$

So $\\boxed{42}$, not $\\pmb{x}$, $\\fcolorbox{red}{white}{x}$ or $\\frac{1$.

> The same happens in a prism. See https://example.org/snell for the law behind it.`;

before(async () => {
  page = await open();
});

/** Check a view and keep it in light, dark and on a phone. */
async function keep(name, only) {
  for (const [look, scheme, viewport] of [
    ["light", "light", DESKTOP],
    ["dark", "dark", DESKTOP],
    ["phone", "light", PHONE],
  ]) {
    if (only && only !== look) continue;
    await page.emulateMedia({ colorScheme: scheme, reducedMotion: "reduce" });
    await page.setViewportSize(viewport);
    await assertAccessible(page, `${name}, ${look}`);
    await screenshot(page, `${name}-${look}`);
  }
  await page.setViewportSize(DESKTOP);
  await page.emulateMedia({ colorScheme: "light", reducedMotion: "reduce" });
}

async function go(place) {
  await page.goto(`${stack.url}/#/${place}`);
}

test("the pages before the log-in", async () => {
  await page.getByRole("button", { name: "Log in" }).waitFor();
  await keep("log-in");
  await go("register");
  await page.getByRole("heading", { name: "Create an account" }).waitFor();
  await keep("register");
  await go("forgot");
  await page.getByLabel("E-mail").waitFor();
  await keep("forgot");
});

test("a wrong password is said plainly", async () => {
  await go("");
  await page.getByLabel("User name or e-mail").fill(ADMIN);
  await page.getByLabel("Password").fill("wrong wrong wrong");
  await page.getByRole("button", { name: "Log in" }).click();
  await page.getByText("The name or the password is wrong.").waitFor();
});

test("chat: welcome, answer, menus, settings, and Chinese", async () => {
  await logIn(page, ADMIN);
  await page.getByRole("heading", { name: "Hello root" }).waitFor();
  await keep("welcome");
  for (const title of ["Plan a week in Lisbon", "Why is the sky blue?", "Names for a small bakery"]) {
    await go("");
    await send(page, `${title} [[fake tokens=5]]`);
    await finishedWords(page);
    await rename(title);
  }
  await go("");
  const marker = `'${ANSWER}'`;
  await page.route("**/api/v1/chat/stream", async (route) => {
    const body = route.request().postDataJSON();
    await route.continue({ postData: JSON.stringify({ ...body, message: `How does a rainbow form? [[fake rate=0 text=${marker}]]` }) });
  });
  await send(page, "How does a rainbow form?");
  await finishedWords(page);
  await page.unroute("**/api/v1/chat/stream");
  await rename("How does a rainbow form?");
  await page.locator(".hljs-keyword").first().waitFor();
  await page.locator(".formula math mfrac").waitFor();
  assert.equal(await page.locator(".message.assistant math").count(), 5);
  await page.getByText("for $5 or $10").waitFor();
  await keep("chat");
  await page.getByRole("button", { name: "Conversation settings" }).click();
  await keep("settings", "light");
  await page.getByRole("button", { name: "Done" }).click();
  await page.setViewportSize(PHONE);
  await page.getByRole("button", { name: "Open the menu" }).click();
  await screenshot(page, "menu-phone");
  await assertAccessible(page, "menu, phone");
  await page.getByRole("link", { name: "Names for a small bakery" }).click();
  await page.setViewportSize(DESKTOP);
  await go("account/preferences");
  await page.getByLabel("Language").selectOption("zh");
  await page.getByRole("heading", { name: "账号" }).waitFor();
  await keep("preferences-chinese", "light");
  await go("");
  await page.getByText("有什么都可以问").waitFor();
  await keep("welcome-chinese", "light");
  await go("account/preferences");
  await page.getByLabel("语言").selectOption("en");
});

test("account: profile, sessions, a key shown once, usage", async () => {
  await go("account/profile");
  await page.getByLabel("Display name").fill("Ruth Root");
  await page.getByRole("button", { name: "Save" }).click();
  await page.getByText("Saved.").waitFor();
  await keep("account");
  const other = await open({ userAgent: "Mozilla/5.0 (iPhone) Safari/605" });
  await logIn(other, ADMIN);
  await go("account/security");
  await page.getByText("Safari, iPhone").waitFor();
  await keep("security");
  await page.getByRole("button", { name: "End", exact: true }).first().click();
  await page.getByText("Session ended.").waitFor();
  await other.getByText("Your session has ended.").waitFor();
  await other.context().close();
  await go("account/keys");
  await page.getByLabel("Name of the new key").fill("Nightly report");
  await page.getByRole("button", { name: "Create a key" }).click();
  await page.getByText("Copy the key now.").waitFor();
  await keep("keys");
  await go("account/usage");
  await page.getByRole("img", { name: /by day/ }).waitFor();
  await keep("usage");
  await go("account/data");
  await page.getByRole("button", { name: "Erase my account" }).waitFor();
  await keep("data", "light");
});

test("operator: invite, disable, reset link, audit, models, status", async () => {
  for (const prefix of ["ada", "grace", "linus"]) await createAccount(stack.url, prefix);
  await go("operator/users");
  await page.getByRole("button", { name: /ada-/ }).waitFor();
  await keep("users");
  await page.getByRole("button", { name: "Add a person" }).click();
  const dialog = page.getByRole("dialog");
  await dialog.getByLabel("User name").fill("margaret");
  await dialog.getByLabel("E-mail").fill("margaret@example.org");
  await dialog.getByRole("button", { name: "Create" }).click();
  await dialog.getByText(/Send this link to margaret/).waitFor();
  await keep("invitation", "light");
  const link = await dialog.locator(".secret code").innerText();
  assert.match(link, /\/reset#token=/);
  await dialog.getByRole("button", { name: "Done" }).click();
  await page.getByRole("button", { name: /margaret/ }).click();
  await dialog.getByText(/of \$50\.00 left/).waitFor();
  await keep("user");
  await page.keyboard.press("Escape");
  await page.getByRole("button", { name: /ada-/ }).click();
  await dialog.getByRole("button", { name: "Disable" }).click();
  await dialog.getByText("disabled", { exact: true }).waitFor();
  await dialog.getByRole("button", { name: "Link for a new password" }).click();
  await dialog.getByText(/to choose a new password/).waitFor();
  await page.keyboard.press("Escape");
  const stolen = await open({ userAgent: "Mozilla/5.0 (iPhone) Safari/605" });
  await logIn(stolen, await createAccount(stack.url, "stolen"));
  await page.reload();
  await page.getByRole("button", { name: /stolen-/ }).click();
  await dialog.getByRole("button", { name: "End the session in Safari, iPhone" }).click();
  await page.getByText("Session ended.").waitFor();
  await dialog.getByText("No sessions.").waitFor();
  await stolen.getByText("Your session has ended.").waitFor();
  await stolen.context().close();
  await page.keyboard.press("Escape");
  await go("operator/plans");
  await page.getByText("1,000 files").waitFor();
  await keep("plans");
  await page.getByRole("button", { name: "Users with the plan default" }).click();
  await dialog.getByText("margaret").first().waitFor();
  await keep("plan", "light");
  await page.keyboard.press("Escape");
  await go("operator/usage");
  await page.getByRole("table").first().getByText("root").waitFor();
  await page.getByRole("cell", { name: "swift" }).waitFor();
  await keep("operator-usage");
  await page.getByLabel("Period").selectOption("Last week (Monday to Sunday)");
  await page.getByText("No usage in this period.").first().waitFor();
  await go("operator/audit");
  await page.getByText("user.disabled").first().waitFor();
  await keep("audit");
  await go("operator/events");
  await page.getByText("No dead letters").waitFor();
  await page.getByText("No webhooks yet.").waitFor();
  await keep("events");
  await go("operator/models");
  await page.getByText("Swift 8B").waitFor();
  await keep("models", "light");
  await go("operator/status");
  await page.getByText(/responds in/).nth(3).waitFor();
  await keep("status");
});

test("webhooks: create, test, replace the secret, pause, delete", async () => {
  await go("operator/events");
  await page.getByRole("button", { name: "New webhook" }).click();
  const dialog = page.getByRole("dialog");
  await dialog.getByLabel("Address").fill("http://127.0.0.1:9/hooks");
  await dialog.getByLabel("Description").fill("Reports");
  await dialog.getByLabel(/^Begin and end of each answer/).check();
  await keep("webhook-new");
  await dialog.getByRole("button", { name: "Create" }).click();
  assert.match(await dialog.locator(".secret code").innerText(), /^whsec_/);
  await keep("webhook-secret", "light");
  await dialog.getByRole("button", { name: "Done" }).click();
  await page.getByRole("button", { name: /^Reports/ }).click();
  await dialog.getByRole("button", { name: "Send a test event" }).click();
  await dialog.getByText("could not connect").waitFor();
  await keep("webhook");
  await dialog.getByRole("button", { name: "New secret" }).click();
  await dialog.locator(".secret code").waitFor();
  await dialog.getByRole("button", { name: "Pause" }).click();
  await dialog.getByText("paused", { exact: true }).waitFor();
  await dialog.getByRole("button", { name: "Delete webhook" }).click();
  await dialog.getByRole("button", { name: "Delete for good" }).click();
  await page.getByText("No webhooks yet.").waitFor();
});

test("a view that could not be read says why, and can be read again", async () => {
  const broken = { code: "internal_error", detail: "It broke.", errors: [], status: 500 };
  await page.route("**/api/v1/admin/audit?*", (route) => route.fulfill({ status: 500, json: broken }), { times: 1 });
  await go("operator/audit");
  await page.getByText("It broke.").waitFor();
  await keep("unread", "light");
  await page.getByRole("button", { name: "Try again" }).click();
  await page.getByRole("cell", { name: "margaret" }).first().waitFor();
});

test("the borders of fields have a contrast of 3 to 1, in light and dark", async () => {
  for (const [place, fields] of Object.entries({ "": ".composer-box, .sidebar .search", "account/profile": ".field input", "operator/audit": ".toolbar input" })) {
    await go(place);
    await page.locator(`main :is(${fields})`).first().waitFor();
    await page.evaluate(() => document.activeElement.blur()); // a field with the focus has another border
    for (const colorScheme of ["light", "dark"]) {
      await page.emulateMedia({ colorScheme, reducedMotion: "reduce" });
      for (const found of await page.locator(fields).evaluateAll(borderContrasts)) assert.ok(found.ratio >= 3, `${found.name}, ${colorScheme}: ${found.ratio}`);
    }
  }
  await page.emulateMedia({ colorScheme: "light", reducedMotion: "reduce" });
});

test("a person erases the own account and sees the progress", async () => {
  const own = await person();
  await own.goto(`${stack.url}/#/account/data`);
  await own.getByLabel("Type your user name to confirm").fill(own.username);
  await own.getByRole("button", { name: "Erase my account" }).click();
  await own.getByRole("heading", { name: "Your data is being erased", level: 1 }).waitFor();
  await assertAccessible(own, "erasure");
  await own.getByRole("heading", { name: "Everything is erased.", level: 1 }).waitFor();
  await assertAccessible(own, "erased");
  await screenshot(own, "erased-light");
  assert.deepEqual(own.faults, []);
  await own.context().close();
});

async function rename(title) {
  const row = page.locator(".conversation", { hasText: `${title} [[fake` });
  await row.hover();
  await row.getByRole("button").click();
  await page.getByRole("menuitem", { name: "Rename" }).click();
  await page.getByRole("textbox", { name: "Rename" }).fill(title);
  await page.keyboard.press("Enter");
  await page.getByRole("link", { name: title, exact: true }).waitFor();
}

/** The contrast of the border of each element with what is around it (WCAG 2.2, 1.4.11). Runs in the page. */
function borderContrasts(elements) {
  const luminance = (colour) => {
    const linear = colour.match(/[\d.]+/g).slice(0, 3).map((each) => (each / 255 <= 0.04045 ? each / 255 / 12.92 : ((each / 255 + 0.055) / 1.055) ** 2.4));
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2];
  };
  const background = (element) => {
    const { backgroundColor } = getComputedStyle(element);
    return backgroundColor === "rgba(0, 0, 0, 0)" ? background(element.parentElement) : backgroundColor;
  };
  return elements.map((element) => {
    const [border, around] = [getComputedStyle(element).borderTopColor, background(element.parentElement)].map(luminance);
    return { name: element.className || element.id, ratio: (Math.max(border, around) + 0.05) / (Math.min(border, around) + 0.05) };
  });
}
