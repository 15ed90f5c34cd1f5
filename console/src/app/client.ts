import { BrowserSession, Parley, type User } from "@parley/client";

import { claimDrafts, clearDrafts } from "./drafts";
import { Store } from "./store";

/** Who uses the page: unknown until the cookie was tried. */
export type Viewer = { state: "unknown" } | { state: "out"; expired: boolean } | { state: "in"; user: User; scopes: ReadonlySet<string> };

export const viewer = new Store<Viewer>({ state: "unknown" });
export const session = new BrowserSession("", () => viewer.set({ state: "out", expired: true }));
export const parley = new Parley({ session });
export const api = parley.api;

/** Holds the id of the account that this browser is logged in with. Each tab shows that account, or none. */
const HINT = "parley.logged-in";
/** The account that this page has shown since it was loaded. */
let lastUser: string | null = null;

// Another tab logged out, or logged in with another account: this page must not act for it with what it knows of the one before.
window.addEventListener("storage", (event) => {
  if (lastUser !== null && (event.key === HINT || event.key === null) && event.newValue !== lastUser) location.reload();
});

/** Continue the session of the cookie, if this browser was logged in. */
export async function resumeSession(): Promise<void> {
  const wasIn = wasLoggedIn();
  if (!wasIn) clearDrafts(); // another tab logged out
  if (wasIn && (await session.resume())) await enter();
  else viewer.set({ state: "out", expired: false });
}

export async function logIn(username: string, password: string): Promise<void> {
  await session.logIn(username, password);
  await enter();
}

export async function logOut(): Promise<void> {
  await session.logOut();
  remember(null);
  clearDrafts();
  location.reload(); // leaves nothing of the account in memory
}

/** Read the account again, after it was changed. */
export async function enter(): Promise<void> {
  const { data } = await api.GET("/api/v1/auth/me");
  const before = lastUser;
  lastUser = data!.id;
  remember(lastUser);
  claimDrafts(lastUser);
  if (before !== null && before !== lastUser) return location.reload(); // leaves nothing of the account before
  viewer.set({ state: "in", user: data!, scopes: session.scopes });
}

/** Whether there may be a cookie, which scripts cannot see. Without a memory of it, it is tried. */
function wasLoggedIn(): boolean {
  try {
    return localStorage.getItem(HINT) !== null;
  } catch {
    return true;
  }
}

function remember(userId: string | null): void {
  try {
    if (userId !== null) localStorage.setItem(HINT, userId);
    else localStorage.removeItem(HINT);
  } catch {
    // Private windows may refuse; the cookie is then tried each time.
  }
}
