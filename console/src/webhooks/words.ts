import type { components } from "@parley/client";

import { t, type Key } from "../i18n";

export type Webhook = components["schemas"]["WebhookView"];
export type Delivery = components["schemas"]["DeliveryView"];
export type Look = "good" | "bad" | "";

export const DELIVERY_STATUSES = ["pending", "delivered", "failed", "dead"] as const;
const ERRORS = ["address_refused", "certificate_invalid", "connection_failed", "connection_lost", "name_not_found", "request_failed", "response_invalid", "secret_unreadable", "timeout", "tls_failed"] as const;
const REASONS = ["account_disabled", "failing", "gone", "scope_removed"] as const;

export function deliveryStatus(status: string): string {
  return translated(DELIVERY_STATUSES, "events.delivery", status);
}

/** Why a request had no response. */
export function deliveryError(error: string): string {
  return translated(ERRORS, "events.error", error);
}

export function disabledReason(reason: string): string {
  return translated(REASONS, "events.disabled", reason);
}

export function deliveryLook(status: string): Look {
  return status === "delivered" ? "good" : status === "pending" ? "" : "bad";
}

export function statusLook(status: Webhook["status"]): Look {
  return status === "active" ? "good" : status === "disabled" ? "bad" : "";
}

/** The name of an event without the parts that all names share. */
export function eventName(type: string): string {
  return type.replace(/^io\.parley\./, "").replace(/\.v\d+$/, "");
}

/** A word of the API in the language of the page; one that this page does not know stays as it is. */
function translated<T extends string>(known: readonly T[], prefix: string, word: string): string {
  return known.includes(word as T) ? t(`${prefix}.${word}` as Key) : word;
}
