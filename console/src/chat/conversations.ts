/** The list of conversations, and the threads that are open. */

import type { Conversation } from "@parley/client";
import { newId } from "@parley/client";

import { api, parley } from "../app/client";
import { keepDraft } from "../app/drafts";
import { notify, notifyError } from "../app/feedback";
import { go } from "../app/router";
import { Store } from "../app/store";
import { t } from "../i18n";
import { Thread } from "./thread";

interface ListState {
  archived: boolean;
  items: readonly Conversation[];
  cursor: string | null;
  loading: boolean;
  /** Whether the next page could not be read. It is asked for again when the person wants it. */
  failed: boolean;
}

const PAGE = 100;
const UNDO_MS = 6000;
const REFRESH_MS = 400;
const MOST_THREADS = 20;

export const list = new Store<ListState>({ archived: false, items: [], cursor: null, loading: true, failed: false });
/** Conversations that are deleted unless the person undoes it. */
const deleting = new Set<string>();
const threads = new Map<string, Thread>();
let refreshTimer: ReturnType<typeof setTimeout> | undefined;

/** The thread of a conversation; `isNew` if the server does not know it yet. */
export function thread(id: string, isNew = false): Thread {
  let found = threads.get(id);
  if (!found) {
    found = new Thread(id, isNew, refreshSoon);
    threads.set(id, found);
    const oldest = [...threads].find(([other, each]) => other !== id && each.state.get().running === null);
    if (threads.size > MOST_THREADS && oldest) threads.delete(oldest[0]);
  }
  return found;
}

export function newConversation(): string {
  return newId();
}

/** Read the first page again. */
export async function refresh(): Promise<void> {
  const { archived } = list.get();
  try {
    const { data } = await api.GET("/api/v1/conversations", { params: { query: { archived: archived ? "true" : "false", limit: PAGE } } });
    list.set((before) => {
      if (before.archived !== archived) return before;
      const first = data!.data;
      const known = new Set(first.map((each) => each.id));
      const oldest = data!.next_cursor === null ? -Infinity : Date.parse(first.at(-1)!.updated_at);
      const rest = before.items.filter((each) => !known.has(each.id) && Date.parse(each.updated_at) <= oldest);
      const cursor = rest.length ? before.cursor : data!.next_cursor;
      return { ...before, items: visible([...first, ...rest]), cursor, loading: false, failed: false };
    });
  } catch (error) {
    list.set((before) => ({ ...before, loading: false, failed: true }));
    notifyError(error);
  }
}

export function refreshSoon(): void {
  clearTimeout(refreshTimer);
  refreshTimer = setTimeout(() => void refresh(), REFRESH_MS);
}

/** Read the next page. */
export async function more(): Promise<void> {
  const { archived, cursor, loading } = list.get();
  if (cursor === null || loading) return;
  list.set((before) => ({ ...before, loading: true, failed: false }));
  try {
    const query = { archived: archived ? ("true" as const) : ("false" as const), limit: PAGE, cursor };
    const { data } = await api.GET("/api/v1/conversations", { params: { query } });
    list.set((before) => {
      if (before.archived !== archived) return before;
      if (before.cursor !== cursor) return { ...before, loading: false }; // the list was read again meanwhile
      const known = new Set(before.items.map((each) => each.id));
      const items = [...before.items, ...data!.data.filter((each) => !known.has(each.id))];
      return { ...before, items: visible(items), cursor: data!.next_cursor, loading: false };
    });
  } catch (error) {
    list.set((before) => ({ ...before, loading: false, failed: true }));
    notifyError(error);
  }
}

export function showArchived(archived: boolean): void {
  list.set({ archived, items: [], cursor: null, loading: true, failed: false });
  void refresh();
}

export async function change(conversation: Conversation, body: { title?: string; archived?: boolean }): Promise<void> {
  const path = { conversation_id: conversation.id };
  list.set((before) => ({
    ...before,
    items: before.items
      .map((each) => (each.id === conversation.id ? { ...each, ...body } : each))
      .filter((each) => each.archived === before.archived),
  }));
  try {
    await api.PATCH("/api/v1/conversations/{conversation_id}", { params: { path }, body });
    if (body.archived !== undefined) {
      const back = { label: t("action.undo"), run: () => void change({ ...conversation, archived: !conversation.archived }, { archived: !body.archived }) };
      notify(t(body.archived ? "chat.archivedNotice" : "chat.unarchivedNotice"), { action: back });
    }
  } catch (error) {
    notifyError(error);
  }
  refreshSoon();
}

/** Delete a conversation after a few seconds in which it can be undone. */
export function remove(conversation: Conversation): void {
  const { id } = conversation;
  const timer = setTimeout(() => void reallyRemove(id), UNDO_MS);
  deleting.add(id);
  list.set((before) => ({ ...before, items: before.items.filter((each) => each.id !== id) }));
  const undo = (): void => {
    clearTimeout(timer);
    deleting.delete(id);
    void refresh();
  };
  notify(t("chat.deletedNotice"), { action: { label: t("action.undo"), run: undo } });
}

/** Follow what other tabs and devices do. */
export async function followFeed(signal: AbortSignal): Promise<void> {
  try {
    for await (const { type, data } of parley.feed(signal)) {
      refreshSoon();
      const id = data?.["conversation_id"];
      if (type === "gap") for (const each of threads.values()) each.changedElsewhere("");
      if (typeof id !== "string") continue;
      if (type === "conversation.deleted") {
        forget(id);
        list.set((before) => ({ ...before, items: before.items.filter((each) => each.id !== id) }));
        if (location.hash.includes(id)) go();
      } else if (type.startsWith("conversation.turn.")) {
        threads.get(id)?.changedElsewhere(String(data!["turn_id"]));
      }
    }
  } catch (error) {
    if (!signal.aborted) notifyError(error);
  }
}

function visible(items: readonly Conversation[]): Conversation[] {
  return items.filter((each) => !deleting.has(each.id));
}

function forget(id: string): void {
  threads.get(id)?.close();
  threads.delete(id);
  keepDraft(id, "");
}

async function reallyRemove(id: string, leaving = false): Promise<void> {
  if (!deleting.delete(id)) return;
  forget(id);
  try {
    const path = { conversation_id: id };
    await api.DELETE("/api/v1/conversations/{conversation_id}", { params: { path }, ...(leaving ? { keepalive: true } : {}) });
  } catch (error) {
    notifyError(error);
    refreshSoon();
  }
}

/** Delete now what can still be undone. `leaving` if the page ends before the server responds. */
export async function finishRemovals(leaving = false): Promise<void> {
  await Promise.all([...deleting].map((id) => reallyRemove(id, leaving)));
}

window.addEventListener("pagehide", () => void finishRemovals(true));
