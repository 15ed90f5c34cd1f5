/** Messages of a conversation on the server, and messages that are made here. */

import { newId, type components, type paths } from "@parley/client";

import { api } from "../app/client";
import { firstLeaf, type Node } from "./tree";

type Schemas = components["schemas"];
type TurnFilter = NonNullable<paths["/api/v1/chat/turns"]["get"]["parameters"]["query"]>;
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
    const page: Schemas["Page_TurnResource_"] = await turnPage(conversationId, { files: true, limit: PAGE, ...(cursor ? { cursor } : {}) });
    yield new Map(page.data.map((turn) => [turn.user_message_id, turn.user_message.files]));
    cursor = page.next_cursor;
  } while (cursor !== null);
}

/** Read the turns that run. */
export async function runningTurns(conversationId: string): Promise<readonly Schemas["TurnResource"][]> {
  return (await turnPage(conversationId, { status: "running" })).data;
}

async function turnPage(conversationId: string, filter: TurnFilter): Promise<Schemas["Page_TurnResource_"]> {
  const { data } = await api.GET("/api/v1/chat/turns", { params: { query: { conversation_id: conversationId, ...filter } } });
  return data!;
}

/** Keep which branch is shown, for the next visit. */
export function keepActive(conversationId: string, messageId: string): void {
  const path = { conversation_id: conversationId };
  void api.PATCH("/api/v1/conversations/{conversation_id}", { params: { path }, body: { active_message_id: messageId } }).catch(() => {});
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
