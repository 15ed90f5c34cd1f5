import { ParleyError, type components, type Conversation } from "@parley/client";

import { parley } from "../app/client";
import { chooseFiles } from "../app/choose";
import { notify, notifyError } from "../app/feedback";
import { save } from "../app/save";
import { t } from "../i18n";
import { isJson, isNdjson } from "./ndjson";

const IMPORTED_TYPES = ".json,.jsonl,.ndjson,.txt,application/json,application/x-ndjson";
const MAX_IMPORT = 32 * 1024 * 1024;
const TRANSFER_MS = 180_000;

/** Save a conversation as a file. */
export async function exportConversation(conversation: Conversation, format: "json" | "markdown"): Promise<void> {
  try {
    const url = `${parley.baseUrl}/api/v1/conversations/${conversation.id}/export?format=${format}`;
    const response = await parley.send(new Request(url, { signal: AbortSignal.timeout(60_000) }));
    save(await response.blob(), `${fileName(conversation.title)}.${format === "json" ? "json" : "md"}`);
  } catch (error) {
    notifyError(error);
  }
}

/** Save everything of the account as a file. */
export async function exportAll(): Promise<void> {
  try {
    const response = await parley.send(new Request(`${parley.baseUrl}/api/v1/export`, { signal: AbortSignal.timeout(TRANSFER_MS) }));
    save(await response.blob(), "parley-export.ndjson");
  } catch (error) {
    notifyError(error);
  }
}

/** Let the person choose a file of Parley, ChatGPT or Claude, and import it. */
export async function importConversations(): Promise<void> {
  const [file] = await chooseFiles({ accept: IMPORTED_TYPES });
  if (!file) return;
  if (file.size > MAX_IMPORT) return void notify(t("import.tooLarge"), { bad: true });
  try {
    const body = await file.text();
    // The name helps only where the first line is broken, which the import skips.
    const lines = isNdjson(body) || (/\.(ndjson|jsonl)$/i.test(file.name) && !isJson(body));
    if (!lines) JSON.parse(body);
    const headers = { "Content-Type": lines ? "application/x-ndjson" : "application/json" };
    const signal = AbortSignal.timeout(TRANSFER_MS);
    const response = await parley.send(new Request(`${parley.baseUrl}/api/v1/conversations/import`, { method: "POST", body, headers, signal }));
    const { imported, skipped } = (await response.json()) as components["schemas"]["ImportReport"];
    notify(t("import.done", { imported: imported.length, skipped: skipped.length }));
  } catch (error) {
    if (error instanceof SyntaxError) notify(t("import.notJson"), { bad: true });
    else if (error instanceof ParleyError && error.code === "quota_exceeded") notify(t("import.full"), { bad: true });
    else notifyError(error);
  }
}

function fileName(title: string | null): string {
  return (title ?? "conversation").replace(/[^\p{L}\p{N}._ -]/gu, "").trim().slice(0, 80) || "conversation";
}
