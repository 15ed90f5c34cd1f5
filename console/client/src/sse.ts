/** Server-sent events of a response, and the pauses between connections. */

import { createParser, type EventSourceMessage } from "eventsource-parser";

/** Parley pings at least every 15 s; a connection that is silent for longer is dead. */
const SILENCE_MS = 40_000;
const FIRST_PAUSE_MS = 250;
const LONGEST_PAUSE_MS = 8_000;

/** Yield the events of a response. Raises when the connection breaks or is silent. `onId` gets each ID, also one without an event. */
export async function* events(response: Response, onId?: (id: string) => void): AsyncGenerator<EventSourceMessage> {
  const body = response.body;
  if (!body) return;
  const found: EventSourceMessage[] = [];
  const parser = createParser({ onEvent: (event) => found.push(event), onId });
  const reader = body.pipeThrough(new TextDecoderStream()).getReader();
  try {
    for (;;) {
      const part = await withinSilence(reader.read());
      if (part.done) return;
      parser.feed(part.value);
      yield* found.splice(0);
    }
  } finally {
    reader.cancel().catch(() => {});
  }
}

/** Milliseconds before the n-th attempt in a row (from 1), with jitter. */
export function pause(attempt: number): number {
  return Math.min(LONGEST_PAUSE_MS, FIRST_PAUSE_MS * 2 ** (attempt - 1)) * (0.5 + Math.random() / 2);
}

/** Wait, or return early when the network comes back. Raises when aborted. */
export function wait(milliseconds: number, signal?: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    const done = (): void => {
      clearTimeout(timer);
      globalThis.removeEventListener?.("online", done);
      signal?.removeEventListener("abort", stop);
      resolve();
    };
    const stop = (): void => {
      done();
      reject(signal!.reason as Error);
    };
    const timer = setTimeout(done, milliseconds);
    globalThis.addEventListener?.("online", done);
    if (signal?.aborted) stop();
    else signal?.addEventListener("abort", stop);
  });
}

async function withinSilence<T>(reading: Promise<T>): Promise<T> {
  let timer: ReturnType<typeof setTimeout> | undefined;
  const silence = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error("The connection is silent.")), SILENCE_MS);
  });
  try {
    return await Promise.race([reading, silence]);
  } finally {
    clearTimeout(timer);
  }
}
