// Files in a message: chosen, dropped, pasted, refused, removed, shown again after a reload.
import assert from "node:assert/strict";
import { beforeEach, test } from "node:test";
import { crc32, deflateSync } from "node:zlib";

import { assertAccessible, finishedWords, screenshot, send } from "./page.mjs";
import { setUp } from "./setup.mjs";

const { stack, person } = setUp();
let page;

beforeEach(async () => {
  page = await person();
});

const chips = () => page.locator(".attachments .file-chip");

async function choose(...files) {
  const chooser = page.waitForEvent("filechooser");
  await page.getByRole("button", { name: "Add files" }).click();
  await (await chooser).setFiles(files);
}

/** Give files to the page as a drag or the clipboard does. */
async function give(event, target, name, type, bytes) {
  await page.evaluate(
    ([event, target, name, type, bytes]) => {
      const given = new DataTransfer();
      given.items.add(new File([new Uint8Array(bytes)], name, { type }));
      const options = { bubbles: true, cancelable: true };
      const made = event === "paste" ? new ClipboardEvent(event, { ...options, clipboardData: given }) : new DragEvent(event, { ...options, dataTransfer: given });
      document.querySelector(target).dispatchEvent(made);
    },
    [event, target, name, type, [...bytes]],
  );
}

test("images and a text go with a message, are shown, and are there after a reload", async () => {
  await choose({ name: "red.png", mimeType: "image/png", buffer: png(255, 0, 0) }, { name: "notes.txt", mimeType: "text/plain", buffer: Buffer.from("notes") });
  await chips().nth(1).getByText("5 bytes").waitFor();
  await chips().first().locator("img").waitFor();
  await assertAccessible(page, "attachments");
  await screenshot(page, "attachments-light");
  await chips().nth(1).getByRole("button", { name: "Remove notes.txt" }).click();
  await give("dragover", ".thread", "blue.png", "image/png", png(0, 0, 255));
  await page.getByText("Drop files here").waitFor();
  await give("drop", ".thread", "blue.png", "image/png", png(0, 0, 255));
  await give("paste", ".composer textarea", "image.png", "image/png", png(0, 255, 0));
  await page.locator(".attachments img").nth(2).waitFor();
  await send(page, "Look at these [[fake tokens=3]]");
  await finishedWords(page);
  const shown = page.locator(".message.user .message-files img");
  await shown.nth(2).waitFor();
  assert.equal(await chips().count(), 0);
  await page.reload();
  await shown.nth(2).waitFor();
  assert.deepEqual(await shown.evaluateAll((all) => all.map((image) => [image.alt, image.naturalWidth])), [["red.png", 8], ["blue.png", 8], ["image.png", 8]]);
  await page.getByRole("button", { name: "Show red.png" }).click();
  await page.getByRole("dialog").locator("img").waitFor();
  await assertAccessible(page, "an image");
  await screenshot(page, "image-light");
  const download = page.waitForEvent("download");
  await page.getByRole("button", { name: "Download red.png" }).click();
  assert.equal((await download).suggestedFilename(), "red.png");
});

test("a file that the server refuses says why with its code, and is not sent", async () => {
  await choose({ name: "tool.bin", mimeType: "application/octet-stream", buffer: Buffer.from([0, 1, 2, 255]) });
  await chips().getByText(/is not accepted.*\(unsupported_media_type\)/).waitFor();
  await page.getByLabel("Your message").fill("Without it");
  assert.ok(await page.getByRole("button", { name: "Send" }).isDisabled());
  await assertAccessible(page, "a refused file");
  await screenshot(page, "attachment-refused-light");
  await page.getByRole("button", { name: "Remove tool.bin" }).click();
  assert.ok(await page.getByRole("button", { name: "Send" }).isEnabled());
});

test("a model that cannot see images refuses them, and the message and its files are kept", async () => {
  await choose({ name: "red.png", mimeType: "image/png", buffer: png(255, 0, 0) });
  await chips().first().locator("img").waitFor();
  await page.getByLabel("Model").selectOption("deep");
  await send(page, "What is this? [[fake tokens=2]]");
  await page.getByText(/cannot read these files.*\(unsupported_content\)/).waitFor();
  assert.match(await page.getByLabel("Your message").inputValue(), /^What is this/);
  await page.getByLabel("Model").selectOption("swift");
  await page.getByRole("button", { name: "Send" }).click();
  await finishedWords(page);
  await page.locator(".message.user .message-files img").waitFor();
});

test("the files of a refused message are gone after a visit to another page, and its text is kept", async () => {
  await choose({ name: "red.png", mimeType: "image/png", buffer: png(255, 0, 0) });
  await chips().first().locator("img").waitFor();
  await page.getByLabel("Model").selectOption("deep");
  await send(page, "What is this? [[fake tokens=2]]");
  await page.getByText(/\(unsupported_content\)/).waitFor();
  await chips().first().waitFor();
  const conversation = page.url();
  await page.goto(`${stack.url}/#/account/profile`);
  await page.getByText("Display name").first().waitFor();
  await page.goto(conversation);
  assert.match(await page.getByLabel("Your message").inputValue(), /^What is this/);
  assert.equal(await chips().count(), 0); // the server has them no more
  await page.getByRole("button", { name: "Send" }).click();
  await finishedWords(page);
});

test("an upload shows its progress, and can be ended", async () => {
  let letGo;
  const held = new Promise((done) => (letGo = done));
  await page.route("**/api/v1/files", async (route) => {
    await held;
    await route.continue().catch(() => {});
  });
  await choose({ name: "slow.txt", mimeType: "text/plain", buffer: Buffer.from("slow") });
  await page.getByRole("progressbar", { name: /Uploading slow.txt/ }).waitFor();
  await page.getByRole("button", { name: "Remove slow.txt" }).click();
  letGo();
  await chips().first().waitFor({ state: "detached" });
});

/** A PNG of 8 by 8 pixels of one colour. */
function png(...colour) {
  const row = Buffer.from([0, ...Array(8).fill(colour).flat()]);
  const header = Buffer.alloc(13);
  header.writeUInt32BE(8, 0);
  header.writeUInt32BE(8, 4);
  header.set([8, 2, 0, 0, 0], 8);
  const pixels = deflateSync(Buffer.concat(Array(8).fill(row)));
  return Buffer.concat([Buffer.from("\x89PNG\r\n\x1a\n", "latin1"), chunk("IHDR", header), chunk("IDAT", pixels), chunk("IEND", Buffer.alloc(0))]);
}

function chunk(name, data) {
  const body = Buffer.concat([Buffer.from(name), data]);
  const found = Buffer.alloc(8 + body.length);
  found.writeUInt32BE(data.length, 0);
  found.set(body, 4);
  found.writeUInt32BE(crc32(body), 4 + body.length);
  return found;
}
