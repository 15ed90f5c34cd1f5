import { useState } from "react";

import type { components } from "@parley/client";

import { api } from "../app/client";
import { notify, notifyError } from "../app/feedback";
import { usePages } from "../app/loading";
import { t } from "../i18n";
import { moment } from "../i18n/format";
import { Dialog, Loading } from "../ui/controls";
import { Card, Table } from "../ui/Page";

type Webhook = components["schemas"]["WebhookView"];
type Delivery = components["schemas"]["DeliveryView"];
type Look = "good" | "bad" | "";

/** Where events go: the webhooks with their last delivery. The outbox and its lag are on the admin ports only. */
export function Events(): React.JSX.Element {
  const [open, setOpen] = useState<Webhook | null>(null);
  const { items, more, again } = usePages(
    async (cursor) => (await api.GET("/api/v1/webhooks", { params: { query: { ...(cursor ? { cursor } : {}), limit: 50 } } })).data!,
  );
  const close = (): void => {
    setOpen(null);
    again();
  };
  return (
    <Card title={t("events.webhooks")} text={t("events.text")}>
      {items === null && <Loading />}
      {items?.length === 0 && <p className="quiet">{t("events.none")}</p>}
      {items !== null && items.length > 0 && (
        <Table label={t("events.webhooks")} head={[t("events.address"), t("operator.state"), t("events.types"), t("events.last")]}>
          {items.map((each) => (
            <tr key={each.id}>
              <td>
                <button type="button" className="text-button" onClick={() => setOpen(each)}>
                  {each.url}
                </button>
              </td>
              <td>
                <Badge text={t(`events.status.${each.status}`)} look={each.status === "active" ? "good" : each.status === "disabled" ? "bad" : ""} />
              </td>
              <td>{each.events.join(", ")}</td>
              <td>{each.last_delivery ? `${each.last_delivery.status}, ${moment(each.last_delivery.at)}` : t("operator.never")}</td>
            </tr>
          ))}
        </Table>
      )}
      {more && (
        <button type="button" className="button" onClick={more}>
          {t("action.more")}
        </button>
      )}
      {open && <WebhookDialog webhook={open} onClose={close} />}
    </Card>
  );
}

/** One webhook: pause and activate it, and its deliveries; failed and dead ones can be sent again. */
function WebhookDialog(props: { webhook: Webhook; onClose: () => void }): React.JSX.Element {
  const [webhook, setWebhook] = useState(props.webhook);
  const path = { webhook_id: webhook.id };
  const { items, more, again } = usePages(async (cursor) => {
    const query = { ...(cursor ? { cursor } : {}), limit: 20 };
    return (await api.GET("/api/v1/webhooks/{webhook_id}/deliveries", { params: { path, query } })).data!;
  });
  const active = webhook.status === "active";
  const change = async (): Promise<void> => {
    const body = { status: active ? "paused" : "active" } as const;
    setWebhook((await api.PATCH("/api/v1/webhooks/{webhook_id}", { params: { path }, body })).data!);
    notify(t("action.saved"));
  };
  const repeat = async (delivery: Delivery): Promise<void> => {
    await api.POST("/api/v1/webhooks/{webhook_id}/deliveries/{delivery_id}/redeliver", { params: { path: { ...path, delivery_id: delivery.id } } });
    notify(t("events.sentAgain"));
    again();
  };
  return (
    <Dialog wide title={webhook.url} onClose={props.onClose}>
      {webhook.disabled_reason && <p className="quiet">{webhook.disabled_reason}</p>}
      <div className="row">
        <button type="button" className="button" onClick={() => void change().catch(notifyError)}>
          {t(active ? "events.pause" : "events.activate")}
        </button>
      </div>
      {items === null && <Loading />}
      {items?.length === 0 && <p className="quiet">{t("events.noDeliveries")}</p>}
      <ul className="rows">
        {items?.map((each) => (
          <li key={each.id}>
            <div>
              <strong>{each.event_type.replace("io.parley.", "")}</strong>
              <small>{[moment(each.created_at), each.response_status, each.error].filter(Boolean).join(" · ")}</small>
            </div>
            <Badge text={t(`events.delivery.${each.status}`)} look={each.status === "delivered" ? "good" : each.status === "pending" ? "" : "bad"} />
            {(each.status === "dead" || each.status === "failed") && (
              <button type="button" className="button small" onClick={() => void repeat(each).catch(notifyError)}>
                {t("events.again")}
              </button>
            )}
          </li>
        ))}
      </ul>
      {more && (
        <button type="button" className="button" onClick={more}>
          {t("action.more")}
        </button>
      )}
    </Dialog>
  );
}

function Badge({ text, look }: { text: string; look: Look }): React.JSX.Element {
  return <span className={`badge ${look}`}>{text}</span>;
}
