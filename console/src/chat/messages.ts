/** Messages of a conversation: read from the server, or made here. */

import { newId, type components } from "@parley/client";

import { api } from "../app/client";
import { firstLeaf, type Node } from "./tree";

type Schemas = components["schemas"];
const PAGE = 100;

/** Read a page of all branches, newest messages first. */
export async function messagePage(conversationId: string, cursor: string | null): Promise<Schemas["Page_Message_"]> {
  const path = { conversation_id: conversationId };
  const query = { tree: true, order: "desc" as const, limit: PAGE, ...(cursor ? { cursor } : {}) };
  const { data } = await api.GET("/api/v1/conversations/{conversation_id}/messages", { params: { path, query } });
  return data!;
}

/** Read which messages have files, a page of turns at a time. */
export async function* filesOfMessages(conversationId: string): AsyncGenerator<Map<string, readonly string[]>> {
  let cursor: string | null = null;
  do {
    const page: Schemas["Page_TurnResource_"] = await turnsWithFiles(conversationId, cursor);
    yield new Map(page.data.map((turn) => [turn.user_message_id, turn.user_message.files]));
    cursor = page.next_cursor;
  } while (cursor !== null);
}

async function turnsWithFiles(conversationId: string, cursor: string | null): Promise<Schemas["Page_TurnResource_"]> {
  const query = { conversation_id: conversationId, files: true, limit: PAGE, ...(cursor ? { cursor } : {}) };
  const { data } = await api.GET("/api/v1/chat/turns", { params: { query } });
  return data!;
}

/** Add the messages of a turn that runs and that history does not show yet. */
export function addTurn(tree: Map<string, Node>, turn: Schemas["TurnResource"]): void {
  const { user_message_id: userId, message_id: id, created_at: createdAt } = turn;
  const common = { turnId: turn.id, createdAt };
  const leaf = firstLeaf(tree, null);
  if (!tree.has(userId)) tree.set(userId, { ...newNode("user", leaf, turn.user_message.content, "completed"), ...common, id: userId });
  tree.set(id, { ...newNode("assistant", userId, "", "running"), ...common, id, model: turn.model });
}

/** A message that only this page knows so far. */
export function newNode(role: Node["role"], parentId: string | null, content: string, status: string): Node {
  const none = { turnId: null, finishReason: null, model: null, usage: null, cost: null, error: null };
  return { id: newId(), parentId, role, content, status, createdAt: new Date().toISOString(), ...none };
}
