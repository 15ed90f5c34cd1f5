// Unit tests of the words for what webhooks report: every documented error has a text.
import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";

import { load } from "./bundle.mjs";

const DOCUMENTATION = join(import.meta.dirname, "../../docs/webhooks.md");
const { deliveryError } = await load("src/webhooks/words.ts");

test("every documented error of a delivery has a text", async () => {
  const [sentence] = /^`error` of a delivery says[^]*?\n\n/m.exec(await readFile(DOCUMENTATION, "utf8"));
  const errors = [...sentence.matchAll(/`([a-z]+_?[a-z_]*)`/g)].map(([, error]) => error).filter((each) => each !== "error");
  assert.ok(errors.includes("secret_unreadable") && errors.includes("timeout"), errors.join());
  assert.deepEqual(errors.filter((each) => deliveryError(each) === each), []);
});
