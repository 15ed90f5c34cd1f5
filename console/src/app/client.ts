import { BrowserSession, Parley, type User } from "@parley/client";

import { Store } from "./store";

/** Who uses the page: unknown until the cookie was tried. */
export type Viewer = { state: "unknown" } | { state: "out"; expired: boolean } | { state: "in"; user: User; scopes: ReadonlySet<string> };

export const viewer = new Store<Viewer>({ state: "unknown" });
export const session = new BrowserSession("", () => viewer.set({ state: "out", expired: true }));
export const parley = new Parley({ session });
export const api = parley.api;

const HINT = "parley.logged-in";

/** Continue the session of the cookie, if this browser was logged in. */
export async function resumeSession(): Promise<void> {
  if (remembered() && (await session.resume())) await enter();
  else viewer.set({ state: "out", expired: false });
}

export async function logIn(username: string, password: string): Promise<void> {
  await session.logIn(username, password);
  remember(true);
  await enter();
}

export async function logOut(): Promise<void> {
  try {
    await session.logOut();
  } finally {
    remember(false);
    location.reload(); // leaves nothing of the account in memory
  }
}

/** Read the account again, after it was changed. */
export async function enter(): Promise<void> {
  const { data } = await api.GET("/api/v1/auth/me");
  viewer.set({ state: "in", user: data!, scopes: session.scopes });
}

/** Whether there may be a cookie, which scripts cannot see. Without a memory of it, it is tried. */
function remembered(): boolean {
  try {
    return localStorage.getItem(HINT) === "yes";
  } catch {
    return true;
  }
}

function remember(loggedIn: boolean): void {
  try {
    if (loggedIn) localStorage.setItem(HINT, "yes");
    else localStorage.removeItem(HINT);
  } catch {
    // Private windows may refuse; the cookie is then tried each time.
  }
}
