/** The tree of a conversation: edits and regenerated answers are siblings. */

import type { Message, Usage } from "@parley/client";

export interface Node {
  id: string;
  parentId: string | null;
  role: Message["role"];
  content: string;
  status: string;
  turnId: string | null;
  finishReason: string | null;
  model: string | null;
  usage: Usage | null;
  cost: string | null;
  createdAt: string;
  error: string | null;
}

export type Tree = ReadonlyMap<string, Node>;

export function toNode(message: Message): Node {
  return {
    id: message.id,
    parentId: message.parent_id,
    role: message.role,
    content: message.content,
    status: message.status,
    turnId: message.turn_id,
    finishReason: message.finish_reason,
    model: message.model,
    usage: message.usage,
    cost: message.cost,
    createdAt: message.created_at,
    error: null,
  };
}

/** The messages from the first one to a leaf. */
export function branch(tree: Tree, leaf: string | null): Node[] {
  const found: Node[] = [];
  for (let node = leaf === null ? undefined : tree.get(leaf); node && found.length <= tree.size; ) {
    found.push(node);
    node = node.parentId === null ? undefined : tree.get(node.parentId);
  }
  return found.reverse();
}

/** The messages that stand in the same place, oldest first. */
export function siblings(tree: Tree, node: Node): Node[] {
  return childrenOf(tree, node.parentId).filter((each) => each.role === node.role);
}

export function childrenOf(tree: Tree, parentId: string | null): readonly Node[] {
  let children = indexes.get(tree);
  if (!children) indexes.set(tree, (children = indexOf(tree)));
  return children.get(parentId) ?? [];
}

/** The children of each message, once for each tree: trees never change. */
const indexes = new WeakMap<Tree, Map<string | null, Node[]>>();

function indexOf(tree: Tree): Map<string | null, Node[]> {
  const found = Map.groupBy(tree.values(), (each) => each.parentId);
  for (const group of found.values()) group.sort((a, b) => (a.createdAt === b.createdAt ? (a.id < b.id ? -1 : 1) : a.createdAt < b.createdAt ? -1 : 1));
  return found;
}

/** The newest leaf below a message. */
export function newestLeaf(tree: Tree, id: string): string {
  let leaf = id;
  for (let step = 0; step <= tree.size; step += 1) {
    const last = childrenOf(tree, leaf).at(-1);
    if (!last) return leaf;
    leaf = last.id;
  }
  return leaf;
}

/** The leaf to show first: below the active message of the conversation, else below the newest. */
export function firstLeaf(tree: Tree, active: string | null): string | null {
  if (active !== null && tree.has(active)) return newestLeaf(tree, active);
  let newest: Node | null = null;
  for (const node of tree.values()) if (newest === null || node.createdAt >= newest.createdAt) newest = node;
  return newest ? newestLeaf(tree, newest.id) : null;
}
