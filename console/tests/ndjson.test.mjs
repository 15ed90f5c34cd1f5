// Unit tests of the recognition of NDJSON, which an import needs whatever the name of its file is.
import assert from "node:assert/strict";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";

import { build } from "vite";

const folder = await mkdtemp(join(tmpdir(), "parley-ndjson-"));
after(() => rm(folder, { recursive: true }));
await build({
  configFile: false,
  logLevel: "error",
  build: { outDir: folder, lib: { entry: "src/chat/ndjson.ts", formats: ["es"], fileName: "ndjson" }, minify: false },
});
const { isNdjson } = await import(join(folder, "ndjson.js"));

test("objects on lines of their own are NDJSON", () => {
  for (const text of ['{"a":1}\n{"b":2}\n', '\n  \r\n{"a":"}\\n{"}\r\n{"b":2}', '\uFEFF{"a":1}\n{"b":2}', '{"a":1}\n{"b":'])
    assert.ok(isNdjson(text), text);
});

test("one value is JSON, on however many lines", () => {
  for (const text of ["", "\n", '{"a":1}', '{"a":1}\n\n', '{\n  "a": 1\n}', '[{"a":1},\n{"b":2}]', '[{"a":1}]\n', "no JSON\n{}"])
    assert.ok(!isNdjson(text), text);
});

test("a long text without a line break takes no time", () => {
  assert.ok(!isNdjson(`{${" ".repeat(5_000_000)}`));
  assert.ok(!isNdjson("\n".repeat(5_000_000)));
});
