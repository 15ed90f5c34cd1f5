/** Requests with a credential. */

import { isAbort, NetworkError, toError } from "./errors";
import type { Session } from "./session";

/** Sends a request with a credential. Raises ParleyError for every status above 399, and NetworkError. */
export type Send = (request: Request) => Promise<Response>;

export function sender(session: Session): Send {
  return (request) => withCredential(session, (token) => attempt(request.clone(), token));
}

/** Make a request, and once more with a renewed credential if the server refuses the first one. Raises ParleyError. */
export async function withCredential(session: Session, make: (token: string | null) => Promise<Response>): Promise<Response> {
  const token = await session.token();
  let response = await make(token);
  if (response.status === 401 && token !== null) {
    const renewed = await session.renew(token);
    if (renewed !== null) response = await make(renewed);
  }
  if (!response.ok) throw await toError(response);
  return response;
}

/** Send one request. Raises NetworkError, and an AbortError when the signal of the request says so. */
export async function attempt(request: Request, token: string | null): Promise<Response> {
  if (token !== null) request.headers.set("Authorization", `Bearer ${token}`);
  try {
    return await fetch(request);
  } catch (error) {
    if (isAbort(error)) throw error;
    throw new NetworkError(error);
  }
}
