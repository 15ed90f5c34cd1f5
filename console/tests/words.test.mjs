// Unit tests of the words for what webhooks report: every documented error has a text.
import assert from "node:assert/strict";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";

import { build } from "vite";

const DOCUMENTATION = join(import.meta.dirname, "../../docs/webhooks.md");
const folder = await mkdtemp(join(tmpdir(), "parley-words-"));
after(() => rm(folder, { recursive: true }));
await build({
  configFile: false,
  logLevel: "error",
  build: { outDir: folder, lib: { entry: "src/webhooks/words.ts", formats: ["es"], fileName: "words" }, minify: false },
});
const { deliveryError } = await import(join(folder, "words.js"));

test("every documented error of a delivery has a text", async () => {
  const [sentence] = /^`error` of a delivery says[^]*?\n\n/m.exec(await readFile(DOCUMENTATION, "utf8"));
  const errors = [...sentence.matchAll(/`([a-z]+_?[a-z_]*)`/g)].map(([, error]) => error).filter((each) => each !== "error");
  assert.ok(errors.includes("secret_unreadable") && errors.includes("timeout"), errors.join());
  assert.deepEqual(errors.filter((each) => deliveryError(each) === each), []);
});
