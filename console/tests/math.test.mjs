// Unit tests of the formulas in the text of an answer.
import assert from "node:assert/strict";
import { test } from "node:test";

import { load } from "./bundle.mjs";

const { hasMath, normalizeMath } = await load("src/chat/math.ts");

test("formulas in every form are found", () => {
  for (const [text, expected] of [
    ["Euler: $e^{i\\pi}+1=0$.", "Euler: $$e^{i\\pi}+1=0$$."],
    ["\\(a+b\\)", "$$a+b$$"],
    ["is \\[\nx^2\n\\]", "is \n$$\nx^2\n$$\n"],
    ["$$x$$", "$$x$$"],
    ["a`$x$` $y$", "a`$x$` $$y$$"],
    ["~~~\n$a$\n~~~\n$z$", "~~~\n$a$\n~~~\n$$z$$"],
  ])
    assert.equal(normalizeMath(text), expected);
});

test("prices, escaped dollars and code are no formulas", () => {
  for (const text of ["It costs $5 and $10.", "US$5 to US$6", "a\\$5 b\\$", "$ x $", "`` `$q$` ``", "```py\nprint('$x$')\n", "$x\ny$"])
    assert.equal(normalizeMath(text), text);
});

test("long hostile texts are left alone", () => {
  assert.ok(!hasMath("$".repeat(60_000)));
  for (const part of ["$", "`", "\\(", "\\[", "$a ", "` ``", "```\n", "$$a"]) {
    const text = part.repeat(Math.floor(50_000 / part.length));
    assert.equal(typeof normalizeMath(text), "string");
  }
});
