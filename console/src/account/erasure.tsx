import { useEffect } from "react";

import { Store, useStore } from "../app/store";
import { useTitle } from "../app/title";
import { t } from "../i18n";

/** The erasure of the own account. It outlives the session, which ends with the account. */
export interface Erasure {
  id: string;
  status: "running" | "completed";
  services: Record<string, unknown>;
}

const POLL_MS = 1000;

export const erasure = new Store<Erasure | null>(null);

export function ErasureProgress(): React.JSX.Element {
  const found = useStore(erasure)!;
  const done = found.status === "completed";
  const title = t(done ? "account.eraseDone" : "account.eraseProgress");
  useTitle(title);
  useEffect(() => {
    if (done) return;
    const timer = setTimeout(() => {
      fetch(`/api/v1/auth/erasures/${found.id}`, { signal: AbortSignal.timeout(10_000) })
        .then(async (response) => erasure.set(response.ok ? ((await response.json()) as Erasure) : { ...found }))
        .catch(() => erasure.set({ ...found }));
    }, POLL_MS);
    return () => clearTimeout(timer);
  }, [found]);
  return (
    <main className="auth">
      <div className="auth-card">
        <div role="status">
          <h1>{title}</h1>
          <ul className="rows">
            {Object.entries(found.services).map(([service, state]) => (
              <li key={service}>
                <strong>{service}</strong>
                <span className={state === "confirmed" ? "badge good" : "badge"}>
                  {t(state === "confirmed" ? "erasure.confirmed" : "erasure.pending")}
                </span>
              </li>
            ))}
          </ul>
        </div>
        {done && (
          <button type="button" className="button" onClick={() => location.assign("/")}>
            {t("action.done")}
          </button>
        )}
      </div>
    </main>
  );
}
