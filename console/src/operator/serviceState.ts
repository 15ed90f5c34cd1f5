import { useEffect } from "react";

import type { components } from "@parley/client";

import { api } from "../app/client";
import { useLoaded, type Reading } from "../app/loading";

export type ServiceStatus = components["schemas"]["ServiceStatus"];
/** A service and its state; null if it does not respond. */
export interface Service {
  name: string;
  ms: number;
  status: ServiceStatus | null;
}

const EVERY_MS = 5000;
/** Shorter than the interval: a new round drops the results of the one before. */
const LIMIT_MS = 4500;
const PATHS = {
  auth: "/api/v1/admin/services/auth",
  chat: "/api/v1/admin/services/chat",
  history: "/api/v1/admin/services/history",
  webhooks: "/api/v1/admin/services/webhooks",
} as const;

/** The state of every service behind the gateway, read again every few seconds while the page is in view. */
export function useServices(): [services: readonly Service[] | null, reading: Reading] {
  const [services, reading] = useLoaded(readAll);
  const { again } = reading;
  useEffect(() => {
    const timer = setInterval(() => document.hidden || again(), EVERY_MS);
    return () => clearInterval(timer);
  }, [again]);
  return [services, reading];
}

function readAll(): Promise<Service[]> {
  const signal = AbortSignal.timeout(LIMIT_MS);
  return Promise.all(
    Object.entries(PATHS).map(async ([name, path]) => {
      const began = performance.now();
      const status = await api.GET(path, { signal }).then(({ data }) => data ?? null, () => null);
      return { name, ms: Math.round(performance.now() - began), status };
    }),
  );
}
