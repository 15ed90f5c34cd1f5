import { useEffect } from "react";

import { api } from "../app/client";
import { useLoaded } from "../app/loading";
import { t } from "../i18n";
import { Loading } from "../ui/controls";
import { Card } from "../ui/Page";

const EVERY_MS = 5000;
/** Shorter than the interval: a new round drops the results of the one before. */
const PROBE_MS = 4000;

interface Probe {
  name: string;
  ms: number | null;
}

/** Each service, as the gateway reaches it. */
export function ServiceStatus(): React.JSX.Element {
  const [probes, again] = useLoaded(probeAll);
  useEffect(() => {
    const timer = setInterval(again, EVERY_MS);
    return () => clearInterval(timer);
  }, [again]);
  return (
    <Card title={t("operator.status")} text={t("operator.statusText")}>
      {probes === null && <Loading />}
      <ul className="rows">
        {probes?.map(({ name, ms }) => (
          <li key={name}>
            <strong>{name}</strong>
            <span className={ms === null ? "badge bad" : "badge good"}>{ms === null ? t("operator.silent") : t("operator.responds", { ms })}</span>
          </li>
        ))}
      </ul>
    </Card>
  );
}

function probeAll(): Promise<Probe[]> {
  const limit = { signal: AbortSignal.timeout(PROBE_MS) };
  return Promise.all([
    probe(t("operator.gateway"), () => fetch("/ready", limit).then((response) => response.ok)),
    probe("auth", () => api.GET("/api/v1/auth/me", limit)),
    probe("chat", () => api.GET("/api/v1/models", limit)),
    probe("history", () => api.GET("/api/v1/conversations", { ...limit, params: { query: { limit: 1 } } })),
  ]);
}

async function probe(name: string, run: () => Promise<unknown>): Promise<Probe> {
  const started = performance.now();
  try {
    return { name, ms: (await run()) === false ? null : Math.round(performance.now() - started) };
  } catch {
    return { name, ms: null };
  }
}
