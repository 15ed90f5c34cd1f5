/** Turns: started once, and streamed to their end over any number of connections. */

import { NetworkError, ParleyError } from "./errors";
import { newId } from "./ids";
import type { components } from "./schema";
import type { Send } from "./send";
import { events, pause, wait } from "./sse";

type Schemas = components["schemas"];
export type TurnRequest = Partial<Schemas["ChatRequest"]>;
export type TurnStatus = Schemas["TurnResource"]["status"];

export type TurnUpdate =
  | { kind: "started"; turnId: string; conversationId: string; messageId: string; userMessageId: string; model: string }
  | { kind: "delta"; text: string }
  | { kind: "reconnecting"; attempt: number }
  | { kind: "connected" }
  | {
      kind: "finished";
      status: TurnStatus;
      finishReason: string | null;
      usage: Schemas["Usage"] | null;
      cost: string | null;
      error: { code: string; message: string } | null;
    };

interface TurnEvent {
  turn_id: string;
  conversation_id: string;
  delta: string;
  finished: boolean;
  status?: TurnStatus;
  message_id?: string;
  user_message_id?: string;
  model?: string;
  finish_reason?: string;
  usage?: Schemas["Usage"];
  cost?: string;
  error?: { code: string; message: string };
}

/** Attempts in a row without any event before the client gives up. */
const MAX_ATTEMPTS = 60;

/** Run a turn. The idempotency key makes it safe to send the request again: the server then attaches to the turn. */
export function runTurn(send: Send, baseUrl: string, turn: TurnRequest, signal?: AbortSignal): AsyncGenerator<TurnUpdate> {
  const key = newId();
  const start = (): Request =>
    new Request(`${baseUrl}/api/v1/chat/stream`, {
      method: "POST",
      body: JSON.stringify(turn),
      headers: { "Content-Type": "application/json", "Idempotency-Key": key },
      ...(signal ? { signal } : {}),
    });
  return stream(send, baseUrl, start, null, signal);
}

/** Stream a turn from its first word. */
export function follow(send: Send, baseUrl: string, turnId: string, signal?: AbortSignal): AsyncGenerator<TurnUpdate> {
  return stream(send, baseUrl, null, turnId, signal);
}

async function* stream(
  send: Send,
  baseUrl: string,
  start: (() => Request) | null,
  knownTurn: string | null,
  signal?: AbortSignal,
): AsyncGenerator<TurnUpdate> {
  let turnId = knownTurn;
  let cursor = 0;
  let attempt = 0;
  let failure: unknown = null;
  for (;;) {
    try {
      const request = turnId === null && start ? start() : resume(baseUrl, turnId!, cursor, signal);
      const response = await send(request);
      if (attempt > 0) yield { kind: "connected" };
      for await (const { id, event, data } of events(response)) {
        if (event) break; // the connection ends; the turn continues
        const number = Number(id);
        if (number <= cursor) continue;
        cursor = number;
        attempt = 0;
        const found = JSON.parse(data) as TurnEvent;
        turnId = found.turn_id;
        if (found.message_id) yield started(found);
        if (found.delta) yield { kind: "delta", text: found.delta };
        if (found.finished) {
          yield finished(found);
          return;
        }
      }
    } catch (error) {
      if (signal?.aborted) throw error;
      if (error instanceof ParleyError && !error.temporary) throw error;
      // After a lost response the turn may run: a server that is busy now is then asked again.
      if (error instanceof ParleyError && turnId === null && attempt === 0) throw error;
      failure = error;
    }
    if (attempt >= MAX_ATTEMPTS) throw failure instanceof Error ? failure : new NetworkError(failure);
    attempt += 1;
    yield { kind: "reconnecting", attempt };
    await wait(pause(attempt), signal);
  }
}

function resume(baseUrl: string, turnId: string, cursor: number, signal?: AbortSignal): Request {
  return new Request(`${baseUrl}/api/v1/chat/turns/${turnId}/stream`, {
    headers: cursor > 0 ? { "Last-Event-ID": String(cursor) } : {},
    ...(signal ? { signal } : {}),
  });
}

function started(event: TurnEvent): TurnUpdate {
  return {
    kind: "started",
    turnId: event.turn_id,
    conversationId: event.conversation_id,
    messageId: event.message_id ?? event.turn_id,
    userMessageId: event.user_message_id ?? "",
    model: event.model ?? "",
  };
}

function finished(event: TurnEvent): TurnUpdate {
  return {
    kind: "finished",
    status: event.status ?? "completed",
    finishReason: event.finish_reason ?? null,
    usage: event.usage ?? null,
    cost: event.cost ?? null,
    error: event.error ?? null,
  };
}
