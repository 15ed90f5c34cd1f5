/** What a thread shows, and the changes of it: each returns new values, and changes none. */

import { ParleyError, type StoredFile, type TurnRequest, type TurnUpdate } from "@parley/client";

import { describe } from "../app/feedback";
import { branch, type Node, type Tree } from "./tree";

export interface TurnSettings {
  model: string | null;
  /** Null: that of the conversation. An empty one removes it. */
  systemPrompt: string | null;
  temperature: number | null;
}

/** A message that is not sent yet. */
export interface Draft {
  text: string;
  files: readonly StoredFile[];
}

/** What the person wanted to send, and why it was not sent. */
export interface Refusal extends Draft {
  message: string;
  retryAt: number | null;
}

export interface ThreadState {
  loading: boolean;
  /** Whether the conversation could not be read. */
  failed: boolean;
  missing: boolean;
  tree: Tree;
  leaf: string | null;
  /** Ids of the files of messages, by the id of the message. History does not know them. */
  files: ReadonlyMap<string, readonly string[]>;
  /** The answer that is being written here. */
  running: string | null;
  reconnecting: boolean;
  refusal: Refusal | null;
}

export const EMPTY: ThreadState = {
  loading: false,
  failed: false,
  missing: false,
  tree: new Map(),
  leaf: null,
  files: new Map(),
  running: null,
  reconnecting: false,
  refusal: null,
};

/** The fields of a request that the settings determine. */
export function requestOptions({ model, systemPrompt, temperature }: TurnSettings): TurnRequest {
  return {
    ...(model ? { model } : {}),
    ...(systemPrompt === null ? {} : { system_prompt: systemPrompt.trim() }),
    ...(temperature === null ? {} : { temperature }),
  };
}

/** Why a message was not sent; without a draft, there is nothing to offer again. */
export function refusalOf(draft: Draft | null, error: unknown): Refusal {
  const retryAt = error instanceof ParleyError && error.retryAfter ? Date.now() + error.retryAfter * 1000 : null;
  return { ...(draft ?? { text: "", files: [] }), message: describe(error), retryAt };
}

/** The messages that a thread shows. */
export function shown(state: ThreadState): Node[] {
  return branch(state.tree, state.leaf);
}

export function withNodes(tree: Tree, nodes: readonly Node[]): Tree {
  const changed = new Map(tree);
  for (const node of nodes) changed.set(node.id, node);
  return changed;
}

export function withoutNodes(tree: Tree, nodes: readonly Node[]): Tree {
  const changed = new Map(tree);
  for (const node of nodes) changed.delete(node.id);
  return changed;
}

/** Change a message, if the tree has it. */
export function withChange(tree: Tree, id: string, changed: Partial<Node>): Tree {
  const node = tree.get(id);
  return node ? withNodes(tree, [{ ...node, ...changed }]) : tree;
}

/** Replace the ids that this page made, for the answer `id` and its message, by those of the server. */
export function withServerIds(
  state: ThreadState,
  id: string,
  update: Extract<TurnUpdate, { kind: "started" }>,
  added: readonly Node[],
): Pick<ThreadState, "tree" | "leaf" | "running" | "files"> {
  const tree = new Map(state.tree);
  const files = new Map(state.files);
  const answer = tree.get(id)!;
  tree.delete(id);
  const user = added.length > 1 ? tree.get(added[0]!.id) : undefined;
  if (user) {
    tree.delete(user.id);
    tree.set(update.userMessageId, { ...user, id: update.userMessageId, turnId: update.turnId });
    files.set(update.userMessageId, files.get(user.id) ?? []);
  }
  const parentId = update.userMessageId || answer.parentId;
  tree.set(update.messageId, { ...answer, id: update.messageId, parentId, turnId: update.turnId, model: update.model });
  return { tree, files, leaf: state.leaf === id ? update.messageId : state.leaf, running: update.messageId };
}
