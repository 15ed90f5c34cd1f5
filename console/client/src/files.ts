/** Files: uploaded with progress, and downloaded with a credential. */

import { NetworkError } from "./errors";
import type { components } from "./schema";
import { attempt, withCredential, type Send } from "./send";
import type { Session } from "./session";

export type StoredFile = components["schemas"]["FileResource"];

export interface UploadOptions {
  /** Name of the file. Default: the one that it has. */
  name?: string;
  signal?: AbortSignal;
  /** Called with the part that is sent, from 0 to 1. Only browsers report it. */
  onProgress?: (part: number) => void;
}

/** An upload of which nothing moves for this long has failed. */
const STALLED_MS = 60_000;

/** Upload a file. Raises ParleyError, NetworkError, and an AbortError when the signal says so. */
export async function upload(session: Session, baseUrl: string, file: Blob, options: UploadOptions = {}): Promise<StoredFile> {
  const form = new FormData();
  form.append("file", file, options.name ?? (file instanceof File ? file.name : "file"));
  const post = typeof XMLHttpRequest === "undefined" ? fetched : sent;
  const response = await withCredential(session, (token) => post(`${baseUrl}/api/v1/files`, form, token, options));
  return (await response.json()) as StoredFile;
}

/** Download a file. */
export async function download(send: Send, baseUrl: string, fileId: string, signal?: AbortSignal): Promise<Blob> {
  const response = await send(new Request(`${baseUrl}/api/v1/files/${fileId}/content`, signal ? { signal } : {}));
  return response.blob();
}

function fetched(url: string, body: FormData, token: string | null, { signal }: UploadOptions): Promise<Response> {
  return attempt(new Request(url, { method: "POST", body, ...(signal ? { signal } : {}) }), token);
}

/** `fetch` does not report how much of a body is sent. */
function sent(url: string, body: FormData, token: string | null, { signal, onProgress }: UploadOptions): Promise<Response> {
  return new Promise((resolve, reject) => {
    const request = new XMLHttpRequest();
    let stalled: ReturnType<typeof setTimeout>;
    const watch = (): void => {
      clearTimeout(stalled);
      stalled = setTimeout(() => request.abort(), STALLED_MS);
    };
    const stop = (): void => request.abort();
    request.upload.addEventListener("progress", ({ loaded, total }) => {
      watch();
      onProgress?.(total ? loaded / total : 0);
    });
    request.addEventListener("loadend", () => {
      clearTimeout(stalled);
      signal?.removeEventListener("abort", stop);
      if (request.status) resolve(responseOf(request));
      else reject(signal?.aborted ? new DOMException("cancelled", "AbortError") : new NetworkError("the upload broke"));
    });
    signal?.addEventListener("abort", stop);
    request.open("POST", url);
    if (token !== null) request.setRequestHeader("Authorization", `Bearer ${token}`);
    watch();
    request.send(body);
    if (signal?.aborted) stop();
  });
}

function responseOf(request: XMLHttpRequest): Response {
  const names = ["content-type", "retry-after", "x-request-id"];
  const headers = names.flatMap((name) => {
    const value = request.getResponseHeader(name);
    return value === null ? [] : [[name, value] as [string, string]];
  });
  return new Response(request.responseText, { status: request.status, headers });
}
