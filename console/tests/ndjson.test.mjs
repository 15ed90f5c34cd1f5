// Unit tests of the recognition of NDJSON, which an import needs whatever the name of its file is.
import assert from "node:assert/strict";
import { test } from "node:test";

import { load } from "./bundle.mjs";

const { isNdjson } = await load("src/chat/ndjson.ts");

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
