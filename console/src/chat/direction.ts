/** Text direction of the blocks of an answer: that of their first letter outside of code. */

interface Node {
  type: string;
  tagName?: string;
  value?: string;
  properties?: Record<string, unknown>;
  children?: Node[];
}
type Direction = "ltr" | "rtl";

const LETTER = /\p{L}/u;
const RIGHT_TO_LEFT = /[\p{Script=Hebrew}\p{Script=Arabic}\p{Script=Syriac}\p{Script=Thaana}\p{Script=Nko}\p{Script=Samaritan}\p{Script=Mandaic}\p{Script=Adlam}]/u;
const BLOCKS = new Set(["p", "h1", "h2", "h3", "h4", "h5", "h6", "ul", "ol", "blockquote", "table"]);
const CODE = new Set(["code", "pre"]);

/** A plugin of rehype that sets `dir` where a block reads in another direction than what surrounds it. `dir="auto"` would
 * ignore the text of a list whose items are paragraphs with a direction of their own. */
export function textDirection(): (tree: Node) => void {
  return (tree) => mark(tree, "ltr");
}

function mark(node: Node, surrounding: Direction): void {
  if (CODE.has(node.tagName ?? "")) return;
  let direction = surrounding;
  if (BLOCKS.has(node.tagName ?? "")) {
    direction = directionOf(node) ?? surrounding;
    if (direction !== surrounding) node.properties = { ...node.properties, dir: direction };
  }
  for (const child of node.children ?? []) mark(child, direction);
}

function directionOf(node: Node): Direction | null {
  if (CODE.has(node.tagName ?? "")) return null;
  const letter = node.type === "text" ? LETTER.exec(node.value ?? "")?.[0] : undefined;
  if (letter) return RIGHT_TO_LEFT.test(letter) ? "rtl" : "ltr";
  for (const child of node.children ?? []) {
    const found = directionOf(child);
    if (found) return found;
  }
  return null;
}
