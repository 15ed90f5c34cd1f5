import { useState } from "react";

import { api } from "../app/client";
import { More, Unread, usePages } from "../app/loading";
import { t } from "../i18n";
import { moment } from "../i18n/format";
import { Icon } from "../ui/Icon";
import { Badge, Card } from "../ui/Page";
import { NewWebhook } from "./NewWebhook";
import { WebhookDialog } from "./WebhookDialog";
import { deliveryStatus, statusLook, type Webhook } from "./words";

/** The webhooks of the own events, in the account. */
export function OwnWebhooks(): React.JSX.Element {
  return <Webhooks scope="own" />;
}

/** The webhooks that a person may see; `scope` is that of a new one. */
export function Webhooks({ scope }: { scope: Webhook["scope"] }): React.JSX.Element {
  const [open, setOpen] = useState<Webhook | null>(null);
  const [creating, setCreating] = useState(false);
  const pages = usePages(
    async (page) => (await api.GET("/api/v1/webhooks", { params: { query: { ...page, limit: 50 } } })).data!,
  );
  const { items, again } = pages;
  const close = (): void => {
    setOpen(null);
    setCreating(false);
    again();
  };
  return (
    <Card
      title={t("events.webhooks")}
      text={t(scope === "all" ? "events.textAll" : "events.textOwn")}
      actions={
        <button type="button" className="button primary" onClick={() => setCreating(true)}>
          <Icon name="plus" size={16} />
          {t("events.create")}
        </button>
      }
    >
      {items === null && <Unread {...pages} />}
      {items?.length === 0 && <p className="quiet">{t("events.none")}</p>}
      {items !== null && items.length > 0 && (
        <ul className="rows">
          {items.map((each) => (
            <Row key={each.id} webhook={each} shown={scope} onOpen={() => setOpen(each)} />
          ))}
        </ul>
      )}
      <More pages={pages} />
      {creating && <NewWebhook scope={scope} onClose={close} />}
      {open && <WebhookDialog webhook={open} onClose={close} />}
    </Card>
  );
}

function Row(props: { webhook: Webhook; shown: Webhook["scope"]; onOpen: () => void }): React.JSX.Element {
  const { webhook } = props;
  const last = webhook.last_delivery;
  const facts = [
    webhook.scope === props.shown ? null : t(`events.scope.${webhook.scope}`),
    webhook.events.join(", "),
    last ? t("events.lastDelivery", { status: deliveryStatus(last.status), date: moment(last.at) }) : t("events.noneSent"),
  ];
  return (
    <li>
      <button type="button" className="row-button" onClick={props.onOpen}>
        <strong>{webhook.description ?? webhook.url}</strong>
        {webhook.description && <small>{webhook.url}</small>}
        <small>{facts.filter(Boolean).join(" · ")}</small>
      </button>
      <Badge text={t(`events.status.${webhook.status}`)} look={statusLook(webhook.status)} />
    </li>
  );
}
