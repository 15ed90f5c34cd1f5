/** Errors of the client: what the server refused, and what never reached it. */

/** A response of Parley that is an error. `code` is stable; texts may change. */
export class ParleyError extends Error {
  constructor(
    readonly status: number,
    readonly code: string,
    message: string,
    readonly fields: readonly { pointer: string; detail: string }[] = [],
    /** Seconds until a retry may succeed, or null. */
    readonly retryAfter: number | null = null,
    readonly requestId: string | null = null,
  ) {
    super(message);
    this.name = "ParleyError";
  }

  /** Whether the same request may succeed later without a change. */
  get temporary(): boolean {
    return [408, 429, 502, 503, 504].includes(this.status) && this.code !== "quota_exceeded";
  }
}

/** The server could not be reached, or the connection broke. */
export class NetworkError extends Error {
  constructor(readonly reason: unknown) {
    super("The server cannot be reached.");
    this.name = "NetworkError";
  }
}

/** Whether a signal ended a request, so that there is nothing to report. */
export function isAbort(error: unknown): boolean {
  return error instanceof DOMException && error.name === "AbortError";
}

/** Read the error of a response; problems (RFC 9457) and OAuth errors (RFC 6749) are both known. */
export async function toError(response: Response): Promise<ParleyError> {
  let body: Record<string, unknown> = {};
  try {
    body = (await response.json()) as Record<string, unknown>;
  } catch {
    // A proxy between here and Parley sends other bodies.
  }
  const code = text(body["code"]) ?? text(body["error"]) ?? "unknown";
  const detail = text(body["detail"]) ?? text(body["error_description"]) ?? `The server responded with ${response.status}.`;
  const fields = Array.isArray(body["errors"]) ? (body["errors"] as { pointer: string; detail: string }[]) : [];
  const wait = Number.parseFloat(response.headers.get("retry-after") ?? "");
  return new ParleyError(
    response.status,
    code,
    detail,
    fields,
    Number.isFinite(wait) ? wait : null,
    response.headers.get("x-request-id"),
  );
}

function text(value: unknown): string | null {
  return typeof value === "string" ? value : null;
}
