/**
 * Text that a person has written and not sent, by conversation. It outlives a change of the view, a reload and an ended
 * session, and is gone with the tab, at log-out, and when another account logs in.
 */

const KEY = "parley.drafts";
/** The conversation that does not exist yet. */
export const NEW_CONVERSATION = "new";
const MOST_DRAFTS = 20;
/** Characters of a draft that are kept: twice those of a message, so that a text that is too long can still be cut. */
const MAX_LENGTH = 64_000;

interface Stored {
  user: string;
  /** The draft that was changed last is the last one. */
  texts: [conversation: string, text: string][];
}

let owner: string | null = null;
const texts = new Map<string, string>();
load();

/** Keep the drafts only if they are those of this account. */
export function claimDrafts(user: string): void {
  if (owner !== user) clearDrafts();
  owner = user;
}

export function clearDrafts(): void {
  owner = null;
  texts.clear();
  store();
}

export function draftOf(conversation: string): string {
  return texts.get(conversation) ?? "";
}

/** Keep a draft; an empty one is removed. Beyond the limit, those that were not changed for the longest time are removed. */
export function keepDraft(conversation: string, text: string): void {
  if (text === draftOf(conversation)) return;
  texts.delete(conversation);
  if (text) texts.set(conversation, text.slice(0, MAX_LENGTH));
  for (const oldest of [...texts.keys()].slice(0, -MOST_DRAFTS)) texts.delete(oldest);
  store();
}

function load(): void {
  try {
    const stored = JSON.parse(sessionStorage.getItem(KEY) ?? "null") as Stored | null;
    if (stored === null) return;
    owner = stored.user;
    for (const [conversation, text] of stored.texts) texts.set(conversation, text);
  } catch {
    // Private windows may refuse; drafts then last until the page closes.
  }
}

function store(): void {
  try {
    if (owner === null || texts.size === 0) sessionStorage.removeItem(KEY);
    else sessionStorage.setItem(KEY, JSON.stringify({ user: owner, texts: [...texts] } satisfies Stored));
  } catch {
    // As above.
  }
}
