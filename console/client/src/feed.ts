/** The feed: events of one's own conversations, on every device. */

import { ParleyError } from "./errors";
import type { Send } from "./send";
import { events, pause, wait } from "./sse";

/** An event; `gap` means that events were missed, so that what is shown should be read again. */
export type FeedEvent = { type: string; data: Record<string, unknown> } | { type: "gap"; data: null };

/** Yield events until aborted. */
export async function* feed(send: Send, baseUrl: string, signal: AbortSignal): AsyncGenerator<FeedEvent> {
  let cursor: string | null = null;
  let attempt = 0;
  while (!signal.aborted) {
    try {
      const headers: Record<string, string> = cursor === null ? {} : { "Last-Event-ID": cursor };
      const response = await send(new Request(`${baseUrl}/api/v1/events`, { headers, signal }));
      if (attempt > 0 && cursor === null) yield { type: "gap", data: null };
      attempt = 0;
      // The feed begins with the ID of its position, so that a connection which ends before the first event loses none.
      const from = (id: string): string => (cursor ??= id);
      for await (const { id, event, data } of events(response, from)) {
        if (id) cursor = id;
        if (event && id) yield { type: event, data: (JSON.parse(data) as { data: Record<string, unknown> }).data };
      }
    } catch (error) {
      if (signal.aborted) return;
      if (error instanceof ParleyError && error.status === 410) {
        cursor = null;
        yield { type: "gap", data: null };
      } else if (error instanceof ParleyError && !error.temporary) {
        throw error;
      }
    }
    attempt += 1;
    await wait(pause(attempt), signal).catch(() => {});
  }
}
