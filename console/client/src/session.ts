/** Sessions: where access tokens come from, and how they are renewed. */

import { NetworkError, ParleyError, toError } from "./errors";

/** A source of access tokens. */
export interface Session {
  /** Return an access token that is still valid, or null if nobody is logged in. */
  token(): Promise<string | null>;
  /** Return a new access token after the server refused `refused`, or null if the session is over. */
  renew(refused: string): Promise<string | null>;
}

/** A fixed token, for example an API key. */
export class TokenSession implements Session {
  constructor(private readonly credential: string) {}

  async token(): Promise<string> {
    return this.credential;
  }

  async renew(): Promise<null> {
    return null;
  }
}

interface Granted {
  access_token: string;
  expires_in: number;
  scope: string;
}

const RENEW_BEFORE_MS = 30_000;
const TIMEOUT_MS = 30_000;
const LOCK = "parley-refresh";

/**
 * The session of a browser. The access token is in memory only; the refresh token is in a cookie that no script can read.
 * Tabs renew one after the other.
 */
export class BrowserSession implements Session {
  private access: { token: string; expiresAt: number; scopes: ReadonlySet<string> } | null = null;
  private renewing: Promise<string | null> | null = null;

  constructor(
    private readonly baseUrl = "",
    /** Called when the session is over. */
    private readonly onEnd: () => void = () => {},
  ) {}

  /** The scopes of the current access token. */
  get scopes(): ReadonlySet<string> {
    return this.access?.scopes ?? new Set();
  }

  /** Log in with a name or e-mail address. Raises ParleyError or NetworkError. */
  async logIn(username: string, password: string): Promise<void> {
    // A renewal of the session before, here or in another tab, would replace the new cookie if it ended later.
    await this.renewing?.catch(() => null);
    await exclusively(async () => this.accept(await this.request({ grant_type: "password", username, password })));
  }

  /** Log in once more, for a change that needs a recent log-in. The session before it ends. */
  async logInAgain(username: string, password: string): Promise<void> {
    const before = this.access?.token;
    await this.logIn(username, password);
    if (before === undefined) return;
    const body = new URLSearchParams({ token: before });
    const signal = AbortSignal.timeout(TIMEOUT_MS);
    await fetch(`${this.baseUrl}/api/v1/auth/revoke`, { method: "POST", body, credentials: "omit", signal }).catch(() => {});
  }

  /** Continue the session of the cookie. Return whether there is one. */
  async resume(): Promise<boolean> {
    return (await this.refresh()) !== null;
  }

  /** End the session on the server, then here. Raises ParleyError or NetworkError, and keeps the session, if the server could not end it. */
  async logOut(): Promise<void> {
    const body = new URLSearchParams({ token_type_hint: "refresh_token" });
    try {
      await post(`${this.baseUrl}/api/v1/auth/revoke`, body);
    } catch (error) {
      if (!(error instanceof ParleyError) || error.status >= 429) throw error;
    }
    this.access = null;
  }

  async token(): Promise<string | null> {
    if (this.access && Date.now() < this.access.expiresAt - RENEW_BEFORE_MS) return this.access.token;
    return this.access ? this.refresh() : null;
  }

  async renew(refused: string): Promise<string | null> {
    return this.access && this.access.token !== refused ? this.access.token : this.refresh();
  }

  private refresh(): Promise<string | null> {
    this.renewing ??= exclusively(() => this.refreshNow()).finally(() => (this.renewing = null));
    return this.renewing;
  }

  private async refreshNow(): Promise<string | null> {
    const before = this.access;
    try {
      const granted = await this.request({ grant_type: "refresh_token" });
      if (this.access === before) this.accept(granted);
    } catch (error) {
      if (!(error instanceof ParleyError) || error.status >= 429) throw error;
      if (this.access !== before) return this.access?.token ?? null; // someone logged in meanwhile
      const had = this.access !== null;
      this.access = null;
      if (had) this.onEnd();
      return null;
    }
    return this.access?.token ?? null;
  }

  private accept(granted: Granted): void {
    this.access = {
      token: granted.access_token,
      expiresAt: Date.now() + granted.expires_in * 1000,
      scopes: new Set(granted.scope.split(" ")),
    };
  }

  private async request(form: Record<string, string>): Promise<Granted> {
    const body = new URLSearchParams({ ...form, token_delivery: "cookie" });
    const response = await post(`${this.baseUrl}/api/v1/auth/token`, body);
    return (await response.json()) as Granted;
  }
}

async function post(url: string, body: URLSearchParams): Promise<Response> {
  let response: Response;
  try {
    response = await fetch(url, {
      method: "POST",
      body,
      headers: { "X-Parley-Client": "web" },
      credentials: "same-origin",
      signal: AbortSignal.timeout(TIMEOUT_MS),
    });
  } catch (error) {
    throw new NetworkError(error);
  }
  if (!response.ok) throw await toError(response);
  return response;
}

/** Run a step in one tab at a time. Web locks exist only on HTTPS and localhost. */
async function exclusively<T>(step: () => Promise<T>): Promise<T> {
  const locks = typeof navigator === "undefined" ? undefined : navigator.locks;
  if (!locks) return step();
  let result: T | undefined;
  await locks.request(LOCK, async () => {
    result = await step();
  });
  return result as T;
}
