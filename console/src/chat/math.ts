// Formulas in the text of a model: `\(…\)`, `\[…\]`, `$…$` and `$$…$$`, brought to the form that remark-math reads.

/**
 * Code, in which nothing is a formula; then each form of a formula. A `$` next to a space or before a digit is a price.
 * The bounds keep the time linear.
 */
const PARTS =
  /(^ {0,3}(?:```|~~~)[^]*?(?:^ {0,3}(?:```|~~~)[^\S\n]*$|$(?![^])))|(?<!`)(`+)(?!`)[^]{0,1000}?(?<!`)\2(?!`)|\\\[([^]{1,2000}?)\\\]|\\\(([^\n]{1,500}?)\\\)|\$\$([^]{1,2000}?)\$\$|(?<![\\$\w])\$(?![\s$])([^$\n]{0,500}?[^\s\\$])\$(?![\d$])/gm;

const FENCE = "$$";
/** Characters of a text up to which formulas are looked for. */
const MAX_LENGTH = 50_000;

/** Whether a text may contain a formula. */
export function hasMath(text: string): boolean {
  return text.length <= MAX_LENGTH && /\$|\\[([]/.test(text);
}

/** Write every formula as `$$…$$`, a displayed one on lines of its own. */
export function normalizeMath(text: string): string {
  return text.replace(PARTS, (found: string, ...groups: (string | undefined)[]) => {
    const [, , bracket, parenthesis, dollars, dollar] = groups;
    const displayed = bracket ?? (dollars?.includes("\n") ? dollars : undefined);
    if (displayed !== undefined) return `\n${FENCE}\n${displayed.trim()}\n${FENCE}\n`;
    const inline = parenthesis ?? dollars ?? dollar;
    return inline === undefined ? found : FENCE + inline.trim() + FENCE;
  });
}
