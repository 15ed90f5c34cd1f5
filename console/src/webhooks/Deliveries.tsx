import { useEffect, useState } from "react";

import { api } from "../app/client";
import { notify, notifyError } from "../app/feedback";
import { More, Unread, usePages } from "../app/loading";
import { t } from "../i18n";
import { moment } from "../i18n/format";
import { Select } from "../ui/controls";
import { Badge } from "../ui/Page";
import { DELIVERY_STATUSES, deliveryError, deliveryLook, deliveryStatus, eventName, type Delivery, type Webhook } from "./words";

const PAGE = 20;
/** How often a list with a delivery that waits for its first attempt is read again. */
const FOLLOW_MS = 2000;

/** What was sent to a webhook, newest first; failed and dead deliveries can be sent again. `sent` counts tests. */
export function Deliveries({ webhook, sent }: { webhook: Webhook; sent: number }): React.JSX.Element {
  const [status, setStatus] = useState<"" | Delivery["status"]>("");
  const path = { webhook_id: webhook.id };
  const pages = usePages(
    async (page) => {
      const query = { ...(status ? { status } : {}), ...page, limit: PAGE };
      return (await api.GET("/api/v1/webhooks/{webhook_id}/deliveries", { params: { path, query } })).data!;
    },
    [status, sent, webhook.status],
  );
  const { items, again } = pages;
  const waiting = webhook.status === "active" && items !== null && items.length <= PAGE && items.some((each) => each.status === "pending");
  useEffect(() => {
    if (!waiting) return;
    const timer = setInterval(again, FOLLOW_MS);
    return () => clearInterval(timer);
  }, [waiting, again]);
  const repeat = async (delivery: Delivery): Promise<void> => {
    const params = { path: { ...path, delivery_id: delivery.id } };
    await api.POST("/api/v1/webhooks/{webhook_id}/deliveries/{delivery_id}/redeliver", { params });
    notify(t("events.sentAgain"));
    again();
  };
  return (
    <section className="stack">
      <div className="row">
        <h3 className="grow">{t("events.deliveries")}</h3>
        <Select
          hidden
          label={t("operator.state")}
          value={status}
          options={[["", t("operator.anyStatus")], ...DELIVERY_STATUSES.map((each) => [each, deliveryStatus(each)] as const)]}
          onChange={(chosen) => setStatus(chosen as "" | Delivery["status"])}
        />
      </div>
      {items === null && <Unread {...pages} />}
      {items?.length === 0 && <p className="quiet">{t("events.noDeliveries")}</p>}
      {items !== null && items.length > 0 && (
        <ul className="rows">
          {items.map((each) => (
            <li key={each.id}>
              <div>
                <strong>{eventName(each.event_type)}</strong>
                <p className="quiet">{facts(each)}</p>
              </div>
              <span className="row">
                {(each.status === "dead" || each.status === "failed") && (
                  <button type="button" className="button small" onClick={() => void repeat(each).catch(notifyError)}>
                    {t("events.again")}
                  </button>
                )}
                <Badge text={deliveryStatus(each.status)} look={deliveryLook(each.status)} />
              </span>
            </li>
          ))}
        </ul>
      )}
      <More pages={pages} />
    </section>
  );
}

function facts(delivery: Delivery): string {
  return [
    moment(delivery.attempted_at ?? delivery.created_at),
    delivery.attempt > 1 && t("events.attempt", { count: delivery.attempt }),
    delivery.response_status !== null && `HTTP ${delivery.response_status}`,
    delivery.error && deliveryError(delivery.error),
    delivery.latency_ms !== null && `${delivery.latency_ms} ms`,
    delivery.status === "failed" && delivery.next_attempt_at && t("events.next", { date: moment(delivery.next_attempt_at) }),
  ]
    .filter(Boolean)
    .join(" · ");
}
